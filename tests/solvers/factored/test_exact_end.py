import numpy as np

import flatmin as fm
from flatmin._core.limits import Limits
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.exact_end import ExactEnd
from flatmin.solvers.factored.outcome import Outcome


def solved(seed=0):
    """Return scaled data whose flat minimum is the truth, its singular triplets, and an optimal multiplier."""
    instance = fm.families.matrix_completion.sample((12, 10), 1, 90, seed=seed)
    scaled = Scaled.from_problem(instance.problem, 1.0, 0)
    solution = fm.flat_minimum(instance.problem)
    U, s, V = instance.problem.parametrization.singular(solution.factors, scaled.metric)
    outcome = Outcome.zero((12, 10), scaled.b)
    outcome.bound = -np.inf
    y = solution.certificate.dual / scaled.model.scale
    return ExactEnd(scaled.model, scaled.b, outcome, Limits()), (U, s / scaled.to_z, V), y


def disturbed(point, size, seed=1):
    """Return all singular triplets of a matrix near a point."""
    rng, (U, s, V) = np.random.default_rng(seed), point
    Z = (U * s) @ V.T + size * s[0] * rng.standard_normal((12, 10))
    left, values, right = np.linalg.svd(Z, full_matrices=False)
    return left, values, right.T


def test_a_sharp_drop_of_singular_values_ends_the_search_early():
    end, point, y = solved()
    assert end.early(disturbed(point, 1e-4), y * 0.99)
    assert len(end.point[1]) == 1
    np.testing.assert_allclose(end.point[1], point[1], rtol=1e-12)


def test_without_a_sharp_drop_nothing_is_tried():
    end, point, y = solved()
    assert not end.early(disturbed(point, 0.1), y)
    assert end.point is None
    assert end.gap == np.inf


def test_candidates_are_tried_until_one_has_no_gap():
    end, point, y = solved()
    end.late(disturbed(point, 1e-7), y, 3, 1)
    assert end.is_exact
    assert len(end.point[1]) == 1


def test_a_fit_with_a_larger_norm_does_not_replace_a_better_one():
    end, point, y = solved()
    end.late(disturbed(point, 1e-7), y, 1)
    best = end.gap
    end.attempt(4, disturbed(point, 1e-1), y)
    assert end.gap == best


def test_a_fit_is_due_at_each_tenfold_gain():
    end = solved()[0]
    assert [end.is_due(accuracy) for accuracy in (0.5, 1e-2, 5e-3, 1e-3, 1e-3, 1e-5)] == [
        False,
        True,
        False,
        True,
        False,
        True,
    ]
