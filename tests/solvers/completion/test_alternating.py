"""Penalised completion by alternating least squares and Newton's method, against other solvers of the same problem."""

import tracemalloc

import cvxpy as cp
import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Limits
from flatmin.solvers.completion import alternating
from flatmin.solvers.convex.minimum import working_memory
from flatmin.solvers.task import Task


def _problem(seed=0, shape=(30, 22), m=330, weighted=False, repeated=True):
    """Return noisy entries of a matrix of rank three, some seen twice, one row and one column never."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    rows, cols = rng.integers(1, shape[0], m), rng.integers(0, shape[1] - 1, m)
    if not repeated:
        rows, cols = np.divmod(np.unique(rows * shape[1] + cols), shape[1])
    weights = rng.uniform(0.5, 2, len(rows)) if weighted else None
    A = fm.measurements.Entries(rows, cols, shape, weights)
    return fm.Problem(A, A.forward(X) + 0.3 * rng.standard_normal(len(rows)))


@pytest.fixture
def engine(monkeypatch):
    """Send problems of any size to the engine."""
    monkeypatch.setattr(alternating, "MIN_COMPILED_CELLS", 1)


def _referee(problem, alpha, power):
    """Return the minimum by a general convex solver, from the formulas alone."""
    A = problem.measurement
    weights = np.ones(A.size) if A.weights is None else A.weights
    counts = [np.bincount(i, weights**2, d) for i, d in zip((A.rows, A.cols), A.shape, strict=True)]
    D = [np.sqrt(n / (A.size * other)) for n, other in zip(counts, A.shape[::-1], strict=True)]
    tempered = [np.where(d > 0, d, 1) ** power * (d > 0) * np.mean(d**2) ** ((1 - power) / 2) for d in D]
    X = cp.Variable(A.shape)
    flat = np.ravel_multi_index((A.rows, A.cols), A.shape)
    misfit = cp.multiply(weights, cp.vec(X, order="C")[flat]) - problem.data
    norm = cp.normNuc(cp.diag(tempered[0]) @ X @ cp.diag(tempered[1]))
    programme = cp.Problem(cp.Minimize(cp.sum_squares(misfit) / A.size + 4 * alpha * norm))
    programme.solve(solver="CLARABEL")
    return programme.value


@pytest.mark.sampled(3)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_minimum_is_that_of_a_general_solver(engine, power, weighted):
    problem = _problem(1, (9, 7), 50, weighted)
    s = fm.flat_minimum(problem, alpha=0.3, metric_power=power, tol=1e-9)
    assert s.certificate.value == pytest.approx(_referee(problem, 0.3, power), rel=1e-6)
    assert s.certificate.holds
    assert abs(s.certificate.relative_gap) < 1e-8


@pytest.mark.parametrize("alpha", [0.03, 0.3, 3.0])
def test_the_minimum_is_that_of_the_solver_of_small_problems(alpha, monkeypatch):
    problem = _problem(2)
    usual = fm.flat_minimum(problem, alpha=alpha, tol=1e-9)
    monkeypatch.setattr(alternating, "MIN_COMPILED_CELLS", 1)
    large = fm.flat_minimum(problem, alpha=alpha, tol=1e-9)
    assert large.status is fm.Status.regularized_minimum
    assert large.certificate.value == pytest.approx(usual.certificate.value, rel=1e-8)
    np.testing.assert_allclose(large.matrix, usual.matrix, atol=1e-4 * np.abs(usual.matrix).max())
    fm.testing.check_solution(large)


def test_a_strength_beyond_which_all_is_zero(engine):
    problem = _problem(3)
    top = fm.solvers.alpha_max(problem)
    assert fm.flat_minimum(problem, alpha=1.01 * top).rank == 0
    below = fm.flat_minimum(problem, alpha=0.99 * top)
    assert below.rank >= 1
    assert below.certificate.holds
    beyond = fm.flat_minimum(problem, alpha=1e152)  # its square is not finite
    assert beyond.rank == 0
    assert beyond.certificate.holds


@pytest.mark.parametrize("alpha", [0.3, 0.01])
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_what_is_returned_is_as_good_as_the_last_sweep(alpha, tol):
    problem, rows = _problem(8, (60, 50), 2400), []
    s = fm.flat_minimum(problem, alpha=alpha, stop="objective", tol=tol, callback=rows.append)
    assert s.certificate.value * problem.measurement.size <= (1 + 2 * tol) * rows[-1]["objective"]


@pytest.mark.parametrize("size", [1e140, 1e3])
def test_a_warm_start_worse_than_nothing_is_none(engine, size):
    problem = _problem(3)
    start = tuple(np.full((d, 2), size) for d in problem.shape)
    cold, warm = (fm.flat_minimum(problem, alpha=0.05, warm_start=w) for w in (None, start))
    assert warm.certificate.holds
    assert warm.iterations == cold.iterations


def test_weights_beyond_single_precision_go_to_another_solver():
    problem = _problem(4, repeated=False)
    A = problem.measurement
    weights = np.where(np.arange(A.size) < 5, 1e-70, 1.0)
    B = fm.measurements.Entries(A.rows, A.cols, A.shape, weights)
    s = fm.flat_minimum(fm.Problem(B, weights * problem.data), alpha=0.05)
    assert s.certificate.holds
    with pytest.raises(fm.InputError, match="weights of similar sizes"):
        fm.flat_minimum(fm.Problem(B, weights * problem.data), alpha=0.05, stop="objective")
    for wrong in (1e-80, 1e80):
        with pytest.raises(fm.InputError, match=r"weights have sizes from .*, expected zeros and sizes from 1e-75"):
            fm.measurements.Entries([0, 1], [0, 1], (2, 2), [wrong, 1.0])


def test_stopping_by_the_objective_comes_sooner_and_certifies_what_it_has(engine, tmp_path):
    problem = _problem(6, (40, 30), 900, repeated=False)
    rows = []
    quick = fm.flat_minimum(problem, alpha=0.05, tol=1e-3, stop="objective", callback=rows.append)
    quick.save(tmp_path / "s.npz")
    assert fm.Solution.load(tmp_path / "s.npz").settings == quick.settings
    exact = fm.flat_minimum(problem, alpha=0.05, tol=1e-9)
    assert rows[-1]["change"] <= 1e-3
    assert [row["iteration"] for row in rows] == sorted(row["iteration"] for row in rows)
    assert quick.iterations < exact.iterations
    assert 0 <= quick.certificate.value / exact.certificate.value - 1 < 2e-2
    assert quick.settings["stop"] == "objective"
    assert quick.certificate.relative_gap >= quick.certificate.value / exact.certificate.value - 1 - 1e-9
    small = fm.flat_minimum(problem, alpha=0.05, tol=1e-10, stop="objective")
    assert small.certificate.value == pytest.approx(exact.certificate.value, rel=1e-5)


def test_where_stopping_by_the_objective_means_nothing():
    problem = _problem(7)
    dense = fm.families.matrix_sensing.sample((4, 3), 1, 12).problem
    for given, alpha in ((problem, 0.0), (problem, "auto"), (dense, 0.1)):
        with pytest.raises(fm.InputError, match="stop is 'objective', expected 'gap'"):
            fm.flat_minimum(given, alpha=alpha, stop="objective")
    with pytest.raises(fm.InputError, match="stop is 'soon', expected"):
        fm.flat_minimum(problem, alpha=0.1, stop="soon")


def test_a_warm_start_is_used(engine):
    problem = _problem(8, (30, 25), 500)
    first = fm.flat_minimum(problem, alpha=0.05)
    cold = fm.flat_minimum(problem, alpha=0.04)
    warm = fm.flat_minimum(problem, alpha=0.04, warm_start=first)
    again = fm.flat_minimum(problem, alpha=0.04, warm_start=warm.factors)
    assert warm.iterations < cold.iterations
    assert again.iterations < cold.iterations
    for s in (warm, again):
        assert s.certificate.value == pytest.approx(cold.certificate.value, rel=1e-7)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_path_uses_each_solution_for_the_next(power, monkeypatch):
    problem = _problem(10, (30, 25), 500)
    usual = fm.flat_path(problem, n_alphas=6, ratio=0.05, metric_power=power)
    calls = []
    run = alternating._Search.run
    monkeypatch.setattr(alternating._Search, "run", lambda self: calls.append(self.task.warm_start) or run(self))
    monkeypatch.setattr(alternating, "MIN_COMPILED_CELLS", 1)
    path = fm.flat_path(problem, n_alphas=6, ratio=0.05, metric_power=power)
    assert [start is not None for start in calls] == [False, True, True, True, True]
    assert all(s.certificate.holds for s in path.solutions)
    values, expected = ([s.certificate.value for s in found.solutions] for found in (path, usual))
    np.testing.assert_allclose(values, expected, rtol=1e-7)
    np.testing.assert_array_equal(path.ranks, usual.ranks)


def test_limits_are_kept_and_told(engine):
    problem = _problem(9, (40, 30), 800)
    assert fm.flat_minimum(problem, alpha=0.05, max_iter=3).status is fm.Status.iteration_limit
    assert fm.flat_minimum(problem, alpha=0.05, time_limit=0.0).status is fm.Status.time_limit
    narrow = fm.flat_minimum(problem, alpha=0.02, max_rank=1)
    assert narrow.rank == 1
    assert narrow.status is fm.Status.rank_limit


def test_a_binding_largest_rank_ends_the_search_and_leaves_a_valid_gap(engine):
    problem = _problem(8, (60, 50), 2000)
    wide = fm.flat_minimum(problem, alpha=0.02)
    narrow = fm.flat_minimum(problem, alpha=0.02, max_rank=2)
    last, before = narrow.history["objective"][[-1, -2]]
    assert last == pytest.approx(before, rel=1e-6)
    assert (narrow.rank, narrow.status) == (2, fm.Status.rank_limit)
    assert narrow.certificate.value * (1 - narrow.certificate.relative_gap) <= wide.certificate.value
    quick = fm.flat_minimum(problem, alpha=0.02, max_rank=2, stop="objective")
    assert quick.status is fm.Status.rank_limit
    assert set(quick.history["rank"]) == {2}, "all columns that are allowed come at once"
    loose = fm.flat_minimum(problem, alpha=0.02, max_rank=wide.rank)
    assert loose.status is fm.Status.regularized_minimum


def test_a_limit_after_any_sweep_keeps_what_was_found(engine):
    problem = _problem(9, (40, 30), 800)
    limits = range(1, 21)
    found = [fm.flat_minimum(problem, alpha=0.05, max_iter=n) for n in limits]
    assert [s.iterations for s in found] == list(limits)
    assert all(s.rank >= 1 for s in found)
    values = np.array([s.certificate.value for s in found])
    assert np.all(values[5:] < 0.5 * problem.data @ problem.data / problem.measurement.size)
    assert np.all(values[1:] <= 1.1 * values[:-1])


@pytest.mark.parametrize("limits", [{"max_iter": 0}, {"time_limit": 0.0}])
def test_no_budget_is_no_iteration(engine, limits):
    problem = _problem(9, (40, 30), 800)
    nothing = fm.flat_minimum(problem, alpha=0.05, **limits)
    assert (nothing.iterations, nothing.rank) == (0, 0)
    start = fm.flat_minimum(problem, alpha=0.1)
    kept = fm.flat_minimum(problem, alpha=0.05, warm_start=start, **limits)
    assert kept.iterations == 0
    np.testing.assert_allclose(kept.matrix, start.matrix, atol=1e-9)


def test_a_largest_rank_holds_for_a_warm_start_and_its_gap_is_measured(engine):
    problem, rng = _problem(8, (30, 25), 500), np.random.default_rng(0)
    start = rng.standard_normal((30, 6)), rng.standard_normal((25, 6))
    for warm in (None, start):
        s = fm.flat_minimum(problem, alpha=0.02, max_rank=2, warm_start=warm)
        assert s.rank == 2
        assert s.certificate.relative_gap > 0.1
        gaps = s.history["gap"]
        assert np.nanmin(gaps) == pytest.approx(s.certificate.relative_gap, rel=1e-3)


def test_the_history_tells_the_residual(engine):
    problem = _problem(8, (30, 25), 500, weighted=True)
    for stop in ("gap", "objective"):
        s = fm.flat_minimum(problem, alpha=0.2, stop=stop, tol=1e-6)
        assert s.history["residual"][-1] == pytest.approx(s.certificate.relative_residual, rel=1e-3)
        assert s.history["objective"][-1] == pytest.approx(s.certificate.value * problem.measurement.size, rel=1e-3)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e100])
def test_data_and_weights_of_any_size(engine, scale):
    problem = _problem(8, (30, 25), 500, weighted=True)
    A, usual = problem.measurement, fm.flat_minimum(problem, alpha=0.05)
    large = fm.flat_minimum(fm.Problem(A, scale * problem.data), alpha=0.05 * scale)
    assert large.certificate.holds
    np.testing.assert_allclose(large.matrix / scale, usual.matrix, atol=1e-5)
    small = fm.measurements.Entries(A.rows, A.cols, A.shape, 1e-20 * A.weights)
    light = fm.flat_minimum(fm.Problem(small, problem.data), alpha=0.05e20)
    assert light.certificate.value == pytest.approx(usual.certificate.value, rel=1e-7)
    np.testing.assert_allclose(light.matrix * 1e-20, usual.matrix, atol=1e-5)


@pytest.mark.parametrize("alpha", [1e-300, 1e-20])
def test_next_to_no_penalty_is_left_to_the_solver_of_exact_fits(alpha, engine):
    problem = _problem(8, (30, 25), 500, repeated=False)
    assert not alternating.applies_to(Task(problem, alpha))
    found, exact = fm.flat_minimum(problem, alpha=alpha), fm.flat_minimum(problem)
    np.testing.assert_allclose(found.matrix, exact.matrix, atol=1e-4 * np.abs(exact.matrix).max())
    with pytest.raises(fm.InputError, match="alpha is a number well above zero"):
        fm.flat_minimum(problem, alpha=alpha, stop="objective")


@pytest.mark.parametrize("alpha", [1e5, 1e100])
def test_a_huge_penalty_gives_zero(alpha, engine):
    problem, rng = _problem(8, (30, 25), 500), np.random.default_rng(0)
    start = rng.standard_normal((30, 6)), rng.standard_normal((25, 6))
    for warm in (None, start):
        s = fm.flat_minimum(problem, alpha=alpha, warm_start=warm)
        assert s.rank == 0
        assert s.certificate.holds


@pytest.mark.parametrize("alpha", [1e-5, 1e-4])
def test_a_weak_penalty_is_no_trouble_for_single_precision(alpha, engine):
    problem = _problem(8, (30, 25), 500, repeated=False)
    assert alternating.applies_to(Task(problem, alpha))
    s = fm.flat_minimum(problem, alpha=alpha, max_iter=60)
    assert np.isfinite(s.matrix).all()
    assert s.certificate.value < 0.05 * problem.data @ problem.data / problem.measurement.size


def test_models_with_another_shape_keep_their_solver():
    A = fm.measurements.Entries([0, 1, 1], [0, 0, 1], (2, 2))
    by_objective = Limits(stop="objective")
    diagonal = fm.measurements.Entries([0, 1], [0, 1], (2, 2))
    assert not alternating.applies_to(Task(fm.Problem(diagonal, [1.0, 2.0], fm.Gram()), 0.1, limits=by_objective))
    assert alternating.applies_to(Task(fm.Problem(A, [1.0, 2.0, 3.0]), 0.1, limits=by_objective))
    assert not alternating.applies_to(Task(fm.Problem(A, [1.0, 2.0, 3.0]), 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["objective", "gap"])
@pytest.mark.parametrize("ordered", [False, True])
def test_memory_is_a_small_multiple_of_the_triples(stop, ordered):
    rng, d = np.random.default_rng(0), 4000
    cell = np.unique(rng.integers(0, d * d, 1_000_000))
    rows, cols = np.divmod(cell if ordered else rng.permutation(cell), d)
    L, R = (rng.standard_normal((d, 5)) for _ in range(2))
    values = np.einsum("ij,ij->i", L[rows], R[cols]) + 0.3 * rng.standard_normal(len(rows))
    fm.flat_minimum(_problem(1, (300, 300), 60_000), alpha=30.0)  # loads what is compiled
    tracemalloc.start()
    try:
        problem = fm.Problem(fm.measurements.Entries(rows, cols, (d, d)), values)
        s = fm.flat_minimum(problem, alpha=0.05 * d, tol=1e-6, stop=stop)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    triples = rows.nbytes + cols.nbytes + values.nbytes
    assert s.certificate.bound_kind == "probabilistic"
    assert peak <= 4 * triples + 8 * sum(F.nbytes for F in s.factors)


@pytest.mark.slow
def test_memory_stays_below_its_estimate():
    rng, d, m = np.random.default_rng(0), 3000, 60_000
    rows, cols = rng.integers(0, d, m), rng.integers(0, d, m)
    L, R = (rng.standard_normal((d, 3)) for _ in range(2))
    problem = fm.Problem(fm.measurements.Entries(rows, cols, (d, d)), np.einsum("ij,ij->i", L[rows], R[cols]))
    fm.flat_minimum(problem, alpha=3000.0, max_iter=3)  # loads what is compiled
    for alpha in (0.0, 1000.0):
        tracemalloc.start()
        try:
            fm.flat_minimum(problem, alpha=alpha, max_iter=10)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert 0.1 * working_memory(problem) < peak < working_memory(problem)
