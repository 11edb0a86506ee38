import numpy as np

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.families.base import Instance
from flatmin.solvers.completion.contraction import contracted
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.refine import correct_dual


def _at_the_truth(instance):
    """Return the scaled map of an instance, stacked factors of its truth, and the shortest multiplier there."""
    problem = instance.problem
    scaled = Scaled.from_problem(problem, 1.0, 0)
    U, s, Vt = np.linalg.svd(instance.truth, full_matrices=False)
    rank = int(np.sum(s > 1e-9 * s[0]))
    L, R = U[:, :rank] * np.sqrt(s[:rank]), Vt[:rank].T * np.sqrt(s[:rank])
    U, s, V = problem.parametrization.singular((L, R), problem.metric)
    x = scaled.model.stack(U, s / scaled.to_z, V)
    y, norm = correct_dual(scaled.model, x, np.zeros_like(scaled.b), 0)
    return scaled.model, x, y, norm


def _table(seed, shape=(300, 300), rank=3, m=7522):
    return fm.families.matrix_completion.sample(shape, rank, m, seed=seed)


def test_a_dual_matrix_above_one_is_contracted_while_the_fit_stays_stationary():
    contractions = 0
    for seed in range(3):
        instance = _table(seed)
        model, x, y, norm = _at_the_truth(instance)
        moved = contracted(model, x, y, Clock(), 0) if norm > 1.001 else None
        if moved is None:
            continue
        contractions += 1
        S = model.dual_matrix(moved).toarray()
        U, _, V = model.canonical(x)
        np.testing.assert_allclose(S @ V, U, atol=1e-4)
        singular = np.linalg.svd(S, compute_uv=False)
        np.testing.assert_allclose(singular[:3], 1, atol=1e-4)
        assert singular[3] < 0.995
    assert contractions >= 1


def test_no_multiplier_is_found_where_a_row_is_too_large_to_be_flattest():
    instance = _table(2)
    problem, truth = instance.problem, instance.truth.copy()
    truth[0] *= 6
    cells = problem.measurement
    large = Instance(fm.Problem(cells, truth[cells.rows, cells.cols]), truth)
    model, x, y, _ = _at_the_truth(large)
    assert contracted(model, x, y, Clock(), 0) is None


def test_a_limit_ends_the_contraction():
    model, x, y, _ = _at_the_truth(_table(2))
    assert contracted(model, x, y, Clock(max_iter=0), 0) is None


def test_other_measurements_and_few_cells_are_left_to_the_rounds():
    sensing = fm.families.matrix_sensing.sample((9, 8), 1, 60)
    model, x, y, _ = _at_the_truth(sensing)
    assert contracted(model, x, y, Clock(), 0) is None
    model, x, y, _ = _at_the_truth(_table(0, (12, 10), 3, 55))
    assert contracted(model, x, y, Clock(), 0) is None


def test_a_table_near_the_threshold_is_solved_without_rounds():
    solved = [fm.flat_minimum(_table(seed, (200, 150), 3, 4164).problem, max_iter=4) for seed in range(2)]
    assert sum(s.status is fm.Status.unique_flat_minimum for s in solved) >= 1


def test_a_large_table_near_the_threshold_is_certified_without_rounds():
    """Without the contraction the rounds of this table take minutes."""
    instance = fm.families.matrix_completion.sample((3000, 3000), 5, 133_000, seed=0)
    s = fm.flat_minimum(instance.problem, max_iter=4)
    assert s.status is fm.Status.unique_flat_minimum
    assert s.iterations <= 2
