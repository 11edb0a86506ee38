"""The flat minimum: right, certified, and the same however the problem is written down."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.choose import TABLE
from flatmin.solvers.task import Task, status_of
from flatmin.testing import check_solution
from tests import referee


@pytest.fixture(scope="module")
def problem():
    return fm.families.matrix_sensing.sample((8, 6), 2, 20, seed=0).problem


@pytest.fixture(scope="module")
def cold(problem):
    return fm.flat_minimum(problem)


def _rewritten(problem, tensor=None, data=None):
    tensor = problem.measurement.matrices() if tensor is None else tensor
    return fm.Problem(fm.measurements.Dense(tensor), problem.data if data is None else data)


def _same_matrix(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, atol=tolerance * np.linalg.norm(b))


@pytest.mark.parametrize(("name", "m"), [("matrix-sensing", 40), ("bilinear-sensing", 44), ("matrix-completion", 45)])
def test_recovers_the_truth_above_the_threshold(name, m):
    inst = fm.families.find(name).sample((8, 6), 1, m, seed=5)
    s = fm.flat_minimum(inst.problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert s.rank == 1
    _same_matrix(s.matrix, inst.truth, 1e-7)


def test_below_the_threshold_it_is_flatter_than_the_truth():
    inst = fm.families.matrix_sensing.sample((8, 6), 2, 16, seed=3)
    s = fm.flat_minimum(inst.problem)
    assert s.certificate.holds
    assert np.linalg.norm(s.matrix - inst.truth) > 0.1 * np.linalg.norm(inst.truth)
    assert s.certificate.value < referee.objective(inst.problem, inst.truth) * 0.999


def test_factors_are_the_flattest_of_their_matrix(solution):
    assert solution.flatness.scaled_trace == pytest.approx(solution.flatness.fibre_minimum)
    assert solution.flatness.scaled_trace == pytest.approx(solution.certificate.value)
    assert solution.factors[0].shape[1] == np.linalg.matrix_rank(solution.matrix, tol=1e-9) == solution.rank


def test_history_has_one_entry_a_round(solution):
    history = solution.history
    assert set(history) >= {"iteration", "seconds", "residual", "gap", "rank"}
    assert len({len(v) for v in history.values()}) == 1
    assert np.all(np.diff(history["seconds"]) >= 0)
    assert history["iteration"][-1] <= solution.iterations
    assert history["residual"][-1] <= history["residual"][0]


def _same_verdict(s, other):
    """Near the threshold optimal duals are many, and rounding picks one that decides uniqueness or does not."""
    assert s.status.certified == other.status.certified
    assert {s.certificate.unique, other.certificate.unique} != {True, False}


class TestInvariance:
    """One matrix, many ways to write its problem down."""

    def test_order_of_measurements(self, instance, solution):
        order = np.random.default_rng(0).permutation(instance.problem.measurement.size)
        shuffled = fm.Problem(instance.problem.measurement.take(order), instance.problem.data[order])
        s = fm.flat_minimum(shuffled)
        _same_verdict(s, solution)
        assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-7)
        if s.certificate.unique:
            _same_matrix(s.matrix, solution.matrix)

    @pytest.mark.parametrize("seed", [1, 12345])
    def test_seed(self, instance, solution, seed):
        s = fm.flat_minimum(instance.problem, seed=seed)
        assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-7)
        if s.certificate.unique:
            _same_matrix(s.matrix, solution.matrix)

    def test_repetition(self, instance, solution):
        again = fm.flat_minimum(instance.problem)
        np.testing.assert_array_equal(again.matrix, solution.matrix)
        np.testing.assert_array_equal(again.certificate.dual, solution.certificate.dual)

    def test_how_the_map_is_stored(self, instance, solution):
        A, b = instance.problem.measurement, instance.problem.data
        rows = A.matrices().reshape(A.size, -1)
        for same in (_rewritten(instance.problem).measurement, fm.measurements.FromLinearOperator(rows, A.shape)):
            s = fm.flat_minimum(fm.Problem(same, b))
            assert s.certificate.holds
            assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-6)

    @pytest.mark.sampled(6)
    @pytest.mark.parametrize("c", [1e-8, 1e-3, 1e6])
    def test_scale_of_the_data(self, instance, solution, c):
        s = fm.flat_minimum(fm.Problem(instance.problem.measurement, c * instance.problem.data))
        _same_verdict(s, solution)
        assert s.certificate.value == pytest.approx(c * solution.certificate.value, rel=1e-7)
        assert fm.certify(instance.problem, solution.factors, s.certificate.dual).holds, "duals do not scale"

    @pytest.mark.parametrize("c", [1e-6, -1.0, 1e4])
    def test_scale_of_the_measurements(self, instance, solution, c):
        """Scaling A and b scales both D's by \\|c\\| and leaves X where it is: the value scales by c²."""
        tensor = c * instance.problem.measurement.matrices()
        s = fm.flat_minimum(_rewritten(instance.problem, tensor, c * instance.problem.data))
        assert s.certificate.holds
        assert s.certificate.value == pytest.approx(c**2 * solution.certificate.value, rel=1e-6)

    def test_orthogonal_transforms(self, instance, solution):
        rng = np.random.default_rng(0)
        P, Q = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in instance.problem.shape)
        s = fm.flat_minimum(_rewritten(instance.problem, P @ instance.problem.measurement.matrices() @ Q))
        assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-7)
        if solution.certificate.unique:
            _same_matrix(P.T @ s.matrix @ Q.T, solution.matrix)

    def test_transposition(self, instance, solution):
        s = fm.flat_minimum(_rewritten(instance.problem, instance.problem.measurement.matrices().transpose(0, 2, 1)))
        assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-7)
        if solution.certificate.unique:
            _same_matrix(s.matrix.T, solution.matrix)

    def test_orthogonal_mixing_of_the_measurements(self, instance, solution):
        """``(Q A, Q b)`` is the same set of matrices with the same metric."""
        m = instance.problem.measurement.size
        Q = np.linalg.qr(np.random.default_rng(0).standard_normal((m, m)))[0]
        tensor = np.tensordot(Q, instance.problem.measurement.matrices(), 1)
        s = fm.flat_minimum(_rewritten(instance.problem, tensor, Q @ instance.problem.data))
        assert s.certificate.value == pytest.approx(solution.certificate.value, rel=1e-6)
        np.testing.assert_allclose(Q.T @ s.certificate.dual, solution.certificate.dual, atol=2e-3)

    def test_rescaling_rows_is_no_invariance(self):
        """Unlike rotations: D2 changes with the rows' scale, so another matrix is flattest below the threshold."""
        inst = fm.families.matrix_sensing.sample((5, 4), 2, 9, seed=1)
        scales = np.array([1, 2, 4, 8, 16.0])[:, None]
        s = fm.flat_minimum(inst.problem)
        t = fm.flat_minimum(_rewritten(inst.problem, inst.problem.measurement.matrices() / scales))
        assert t.certificate.holds
        assert np.linalg.norm(t.matrix / scales - s.matrix) > 1e-3 * np.linalg.norm(s.matrix)


class TestOptions:
    """Limits, starts and the road between nuclear norm and flatness."""

    def test_warm_start(self, problem, cold):
        warm = fm.flat_minimum(problem, warm_start=cold)
        assert warm.iterations < cold.iterations / 2
        assert warm.certificate.value == pytest.approx(cold.certificate.value, rel=1e-7)
        assert warm.certificate.holds

    def test_warm_start_from_factors_and_other_widths(self, problem, cold):
        L, R = cold.factors
        wide = np.hstack([L, np.zeros((8, 2))]), np.hstack([R, np.zeros((6, 2))])
        for start in (cold.factors, wide, (np.zeros((8, 1)), np.zeros((6, 1))), (L[:, :1], R[:, :1])):
            s = fm.flat_minimum(problem, warm_start=start)
            assert s.certificate.holds
            assert s.certificate.value == pytest.approx(cold.certificate.value, rel=1e-6)

    def test_warm_start_of_a_neighbour(self, problem, cold):
        other = fm.Problem(problem.measurement, problem.data * (1 + 1e-3 * np.arange(20) / 20))
        s = fm.flat_minimum(other, warm_start=cold)
        assert s.certificate.value == pytest.approx(fm.flat_minimum(other).certificate.value, rel=1e-6)
        check_solution(s, other)

    @pytest.mark.parametrize("start", [np.ones((8, 6)), (np.ones((6, 1)), np.ones((8, 1))), "cold"])
    def test_warm_starts_that_do_not_fit_are_refused(self, problem, start):
        with pytest.raises(fm.InputError):
            fm.flat_minimum(problem, warm_start=start)

    def test_warm_start_of_another_size_is_refused(self, cold):
        other = fm.families.matrix_sensing.sample((8, 6), 2, 25, seed=0).problem
        with pytest.raises(fm.InputError, match="20 dual values, expected 25"):
            fm.flat_minimum(other, warm_start=cold)

    @pytest.mark.parametrize(
        ("limit", "status"), [({"time_limit": 0}, "time_limit"), ({"max_iter": 1}, "iteration_limit")]
    )
    def test_limits(self, problem, limit, status):
        s = fm.flat_minimum(problem, **limit)
        check_solution(s, problem)
        assert s.status.name == status
        assert not s.certificate.holds
        assert s.iterations <= 1

    @pytest.mark.sampled(1)
    def test_largest_rank(self, problem, cold):
        assert cold.rank > 1
        s = fm.flat_minimum(problem, max_rank=1)
        check_solution(s, problem)
        assert s.rank <= 1
        assert not s.status.certified
        assert fm.flat_minimum(problem, max_rank=cold.rank).certificate.holds
        model = fm.flat_minimum(fm.Problem(problem.measurement, problem.data, fm.Product(rank=1)))
        assert model.rank <= 1

    def test_tolerance_does_not_move_the_thresholds_of_the_certificate(self, problem):
        loose = fm.flat_minimum(problem, tol=0.1)
        check_solution(loose, problem)
        assert loose.status.certified == loose.certificate.holds
        assert fm.flat_minimum(problem, tol=1e-12).certificate.relative_gap < 1e-10

    def test_callback_sees_every_round(self, problem):
        rounds = []
        s = fm.flat_minimum(problem, callback=rounds.append)
        assert len(rounds) == len(s.history["gap"])
        assert [r["rank"] for r in rounds] == s.history["rank"].tolist()

    @pytest.mark.sampled(8)
    @pytest.mark.parametrize("power", [0.0, 0.3, 0.7, 1.0])
    def test_metric_power(self, instance, power):
        p = instance.problem
        s = fm.flat_minimum(p, metric_power=power)
        check_solution(s, p)
        assert s.certificate.holds
        value, X = referee.flattest(p, power=power)
        assert s.certificate.value == pytest.approx(value, rel=1e-6)
        if s.certificate.unique:
            _same_matrix(s.matrix, X, 5e-3)

    def test_metric_power_zero_is_the_nuclear_norm(self, problem):
        s = fm.flat_minimum(problem, metric_power=0)
        assert referee.nuclear(s.matrix) < referee.nuclear(fm.flat_minimum(problem).matrix)
        D1, D2 = (np.asarray(D) for D in problem.metric)
        scale = np.sqrt(np.trace(D1 @ D1) / 8 * np.trace(D2 @ D2) / 6)
        assert s.certificate.value == pytest.approx(4 * scale * referee.nuclear(s.matrix))

    @pytest.mark.sampled(8)
    @pytest.mark.parametrize("alpha", [1e-4, 1e-2, 1.0, 100.0])
    def test_alpha(self, instance, alpha):
        p = instance.problem
        s = fm.flat_minimum(p, alpha=alpha)
        check_solution(s, p)
        assert s.status is fm.Status.regularized_minimum
        assert s.certificate.value == pytest.approx(referee.flattest(p, alpha=alpha)[0], rel=1e-6)
        found = s.flatness
        assert s.certificate.value == pytest.approx(found.loss + alpha * found.scaled_trace)

    def test_alpha_so_large_that_zero_is_best(self, problem):
        s = fm.flat_minimum(problem, alpha=1e6)
        assert s.status is fm.Status.regularized_minimum
        assert s.rank == 0
        assert s.certificate.value == pytest.approx(np.mean(problem.data**2))

    def test_alpha_to_zero_gives_the_flat_minimum(self, problem, cold):
        """The distance is proportional to alpha."""
        near, far = (np.linalg.norm(fm.flat_minimum(problem, alpha=a).matrix - cold.matrix) for a in (1e-5, 1e-3))
        assert far < 2e-3 * np.linalg.norm(cold.matrix)
        assert near == pytest.approx(far / 100, rel=0.1)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("alpha", -1.0),
            ("alpha", np.nan),
            ("alpha", None),
            ("alpha", "much"),
            ("metric_power", 1.5),
            ("metric_power", -0.1),
            ("tol", 0.0),
            ("tol", 2.0),
            ("max_rank", 0),
            ("max_rank", 1.5),
            ("max_iter", -1),
            ("time_limit", -1.0),
            ("time_limit", np.nan),
            ("seed", -1),
            ("seed", None),
        ],
    )
    def test_options_out_of_range_are_refused(self, problem, option, value):
        with pytest.raises(fm.InputError, match=f"{option} is .*expected a"):
            fm.flat_minimum(problem, **{option: value})

    def test_needs_a_problem(self):
        with pytest.raises(fm.InputError, match="problem is a ndarray, expected a flatmin Problem"):
            fm.flat_minimum(np.eye(3))

    def test_what_does_not_fit_in_memory_is_refused_with_its_estimate(self, problem, monkeypatch):
        monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1000.0)
        with pytest.raises(fm.InputError, match=r"need about .* GiB of memory and 0\.0 GiB are free; use fewer"):
            fm.flat_minimum(problem)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_factors_are_the_flattest_whichever_norm_was_minimised(power, alpha):
    """Rows and columns seen unevenly make the norms differ."""
    p = fm.families.matrix_completion.sample((12, 8), 1, 60, seed=2).problem
    s = fm.flat_minimum(p, metric_power=power, alpha=alpha)
    assert s.flatness.scaled_trace == pytest.approx(s.flatness.fibre_minimum, rel=1e-9)


def test_settings_of_single_precision(tmp_path):
    p = fm.families.matrix_completion.sample((6, 5), 1, 18).problem
    s = fm.flat_minimum(p, alpha=np.float32(0.1), metric_power=np.float32(0.5))
    s.save(tmp_path / "s.npz")
    double = fm.flat_minimum(p, alpha=float(np.float32(0.1)), metric_power=0.5)
    assert s.certificate.value == pytest.approx(double.certificate.value, rel=1e-12)


def test_an_exact_fit_tells_of_its_guess_first():
    instance = fm.families.matrix_completion.sample((60, 50), 2, 2000)
    rows = []
    s = fm.flat_minimum(instance.problem, callback=rows.append)
    assert s.certificate.holds
    assert (rows[0]["iteration"], rows[0]["rank"]) == (0, 2)
    assert 1e-3 < rows[0]["residual"] < 1
    assert np.isnan(rows[0]["gap"])
    assert rows[-1]["residual"] < 1e-12
    assert len(s.history["gap"]) == len(rows)


class _Zero:
    """A solver of the user's own, which returns zero without a search."""

    name = "zero"

    def applies_to(self, task):
        return task.alpha > 0

    def solve(self, task):
        d1, d2 = task.problem.shape
        factors = np.zeros((d1, 1)), np.zeros((d2, 1))
        dual = task.problem.data / (2 * task.alpha * len(task.problem.data))
        proof = fm.certify(task.problem, factors, dual, alpha=task.alpha)
        clock = task.limits.start()
        return task.solution(clock, factors, proof, status_of(proof, clock), {})


def test_a_solver_of_the_users_own_is_used(problem):
    s = fm.flat_minimum(problem, alpha=0.1, solver=_Zero())
    assert not s.matrix.any()
    assert s.status is fm.Status.not_certified
    assert s.settings["alpha"] == 0.1
    certified = fm.flat_minimum(problem, alpha=2 * fm.solvers.alpha_max(problem), solver=_Zero())
    assert certified.status is fm.Status.regularized_minimum


def test_a_solver_that_does_not_apply_is_refused(problem):
    with pytest.raises(fm.InputError, match="solver is 'zero', which does not apply to"):
        fm.flat_minimum(problem, solver=_Zero())


def test_a_registered_solver_is_found_by_its_name(problem):
    fm.solvers.register(_Zero())
    try:
        assert "zero" in fm.solvers.names()
        assert not fm.flat_minimum(problem, alpha=0.1, solver="zero").matrix.any()
    finally:
        fm.solvers.unregister("zero")
    with pytest.raises(fm.InputError, match="there is no solver 'zero', expected one of alternating, chain, convex"):
        fm.flat_minimum(problem, alpha=0.1, solver="zero")


def test_another_solver_of_the_table_may_be_chosen():
    problem = fm.families.phase_retrieval.sample(6, 1, 30).problem
    found = [fm.flat_minimum(problem, solver=name) for name in ("interpolating", "convex")]
    _same_matrix(*(s.matrix for s in found))


def test_the_table_has_a_solver_for_every_task(problem):
    robust = fm.Problem(fm.measurements.Identity((3, 2)), np.ones(6), loss=fm.losses.Absolute())
    tasks = {
        "convex": Task(problem),
        "pivotal": Task(problem, auto=True),
        "robust": Task(robust, 0.1),
        "robust-pivotal": Task(robust, auto=True),
        "interpolating": Task(fm.families.phase_retrieval.sample(6, 1, 30).problem),
        "hadamard": Task(fm.families.sparse_regression.sample(8, 1, 5).problem),
        "hadamard-pivotal": Task(fm.families.sparse_regression.sample(8, 1, 5).problem, auto=True),
    }
    for name, task in tasks.items():
        assert next(solver.name for solver in TABLE if solver.applies_to(task)) == name
