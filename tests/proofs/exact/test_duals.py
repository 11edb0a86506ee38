import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.duals import aligned, largest_multiple, lower_bound, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from tests.proofs.exact.integer_problems import PROBLEMS
from tests.proofs.exact.test_tangent_equations import MAPS

CONVEX = ["sensing", "bilinear", "completion", "covariance", "network", "table"]


def smallest_eigenvalue(explicit, dual):
    """Return the smallest eigenvalue of the matrix that the checker tests, with a diagonal of ones."""
    G1, G2 = (np.diag(G) if G.ndim == 1 else G for G in explicit.squares)
    Y = np.asarray(explicit.problem.measurement.adjoint(dual))
    if explicit.cone == "rectangular":
        blocks = [np.block([[G1, -Y], [-Y.T, G2]])]
    else:
        blocks = [G1 - Y] if explicit.cone == "semidefinite" else [G1 - Y, G1 + Y]
    least = []
    for N, G in ((N, np.block([[G1, 0 * Y], [0 * Y.T, G2]]) if len(N) > len(G1) else G1) for N in blocks):
        scale = 1 / np.sqrt(np.diagonal(G))
        least.append(np.linalg.eigvalsh(scale[:, None] * N * scale)[0])
    return min(least)


@pytest.mark.parametrize("name", CONVEX)
def test_the_largest_multiple_barely_passes_its_test(name):
    explicit = ExplicitProblem.from_problem(PROBLEMS[name]())
    dual = np.random.default_rng(0).standard_normal(len(explicit.problem.data))
    multiple = largest_multiple(explicit, dual)
    assert 0 < smallest_eigenvalue(explicit, multiple * dual) < 1e-12
    assert smallest_eigenvalue(explicit, multiple * dual * (1 + 1e-9)) < 0


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_value_dual_passes_and_proves_nearly_the_value(name, alpha):
    problem = PROBLEMS[name]()
    alpha = 0.0 if name == "table" else alpha
    certificate = fm.flat_minimum(problem, alpha=alpha).certificate
    explicit = ExplicitProblem.from_problem(problem, alpha)
    dual = value_dual(explicit, [0.5 * certificate.dual, 2 * certificate.dual, np.zeros_like(certificate.dual)])
    assert smallest_eigenvalue(explicit, dual) > 0
    assert lower_bound(explicit, dual) == pytest.approx(certificate.value, rel=1e-9)
    assert lower_bound(explicit, dual) < certificate.value
    if name == "table":
        assert np.max(np.abs(dual)) <= explicit.weight


def test_a_metric_without_room_has_no_bound():
    problem = fm.Problem(fm.measurements.Dense(np.ones((3, 2, 2))), np.ones(3))
    assert not np.any(value_dual(ExplicitProblem.from_problem(problem), [np.ones(3)]))


@pytest.mark.parametrize("tangent", MAPS.values(), ids=MAPS)
def test_aligned_duals_agree_with_the_target_and_move_least(tangent):
    rng = np.random.default_rng(0)
    start, target = (
        rng.standard_normal(tangent.measurement.size),
        tangent.adjoint(rng.standard_normal(tangent.measurement.size)),
    )
    near = aligned(tangent, start, target)
    np.testing.assert_allclose(tangent.adjoint(near), target, atol=1e-11 * np.abs(target).max())
    J = tangent.derivative
    J = J.toarray() if hasattr(J, "toarray") else J
    moved = near - start
    np.testing.assert_allclose(J @ np.linalg.lstsq(J, moved, rcond=None)[0], moved, atol=1e-9)
