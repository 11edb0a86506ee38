"""Low rank plus gross errors: the split against cvxpy, its certificate against what is wrong, its radius on rivals."""

import warnings
from dataclasses import replace
from functools import partial

import cvxpy as cp
import numpy as np
import pytest
from scipy.stats import binom

import flatmin as fm
from flatmin.linalg import random_starts
from flatmin.losses import clip_level
from flatmin.proofs.certificate import LARGEST_CHANCE
from flatmin.proofs.robust import certificate as robust_certificates
from flatmin.proofs.robust import hidden_cells
from flatmin.proofs.robust import uniqueness as robust_uniqueness
from flatmin.proofs.robust.certificate import robust_certificate
from flatmin.proofs.robust.hidden_cells import hidden_share, incoherence_bound

SAMPLE = fm.families.robust_pca.sample


def errors(instance):
    """Return the gross errors behind an instance without noise."""
    return instance.problem.data - instance.problem.measurement.forward(instance.truth)


def made(form, *, seed=0, shape=(9, 8), observed=1.0, corruption=0.08, noise=0.0):
    """Return an instance in the form with a weight, or with the errors' true size times a factor."""
    m = None if observed == 1 else int(observed * np.prod(shape))
    instance = SAMPLE(shape, 1, m, seed=seed, corruption=corruption, noise=noise)
    tau = form * float(np.abs(errors(instance)).sum()) if isinstance(form, float) else None
    loss = fm.losses.Absolute(tau=tau)
    return replace(instance, problem=replace(instance.problem, loss=loss))


def dense(problem):
    """Return the data with zeros where missing, and the mask."""
    Y, seen = np.zeros(problem.shape), np.zeros(problem.shape)
    A = problem.measurement
    Y[A.rows, A.cols], seen[A.rows, A.cols] = problem.data, 1.0
    return Y, seen


def referee(problem, *, rival=None, allowed=None):
    """Return the least objective, or with ``rival`` the matrix farthest along it whose objective is allowed."""
    Y, seen = dense(problem)
    X = cp.Variable(problem.shape)
    size, weight = cp.norm1(cp.multiply(seen, Y - X)), problem.loss.weight_for(problem.shape)
    objective = cp.normNuc(X) + (0 if weight is None else weight * size)
    constraints = [size <= problem.loss.tau] if weight is None else []
    if rival is None:
        program = cp.Problem(cp.Minimize(objective), constraints)
    else:
        program = cp.Problem(cp.Maximize(cp.sum(cp.multiply(rival, X))), [*constraints, objective <= allowed])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate", near the boundary of what is allowed
        program.solve(solver=cp.CLARABEL)
    assert program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
    return program.value, X.value


FORMS = {"weight": None, "oracle": 1.0, "too little": 0.8, "too much": 1.2}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("observed", [1.0, 0.75], ids=["all", "missing"])
@pytest.mark.parametrize("form", FORMS)
def test_the_split_is_the_best_one(form, observed):
    problem = made(FORMS[form], observed=observed, noise=0.02).problem
    s = fm.flat_minimum(problem)
    value, X = referee(problem)
    assert s.certificate.holds
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    assert s.certificate.lower_bound <= value * (1 + 1e-7)
    if s.certificate.unique:
        np.testing.assert_allclose(s.matrix, X, atol=1e-3 * np.linalg.norm(X))
    fm.testing.check_solution(s, problem)


@pytest.mark.parametrize(
    ("shape", "rank", "share", "observed"),
    [((80, 80), 2, 0.1, 1.0), ((80, 80), 2, 0.1, 0.8), ((150, 40), 1, 0.05, 0.9), ((40, 150), 1, 0.05, 1.0)],
)
def test_recovery_is_exact_and_proved(shape, rank, share, observed):
    m = None if observed == 1 else int(observed * np.prod(shape))
    instance = SAMPLE(shape, rank, m, corruption=share, seed=1)
    for loss in (fm.losses.Absolute(), fm.losses.Absolute(tau=float(np.abs(errors(instance)).sum()))):
        problem = replace(instance.problem, loss=loss)
        s = fm.flat_minimum(problem)
        c, norm = s.certificate, np.linalg.norm(instance.truth)
        assert (s.status, s.rank) == (fm.Status.unique_flat_minimum, rank)
        assert abs(c.relative_gap) <= 1e-9
        assert c.dual_norm <= 1 + 1e-9
        assert np.linalg.norm(s.matrix - instance.truth) <= min(1e-9 * norm, c.radius)
        assert c.radius <= 1e-6 * norm
        assert c.q >= rank
        assert c.margin > 0
        A = problem.measurement
        np.testing.assert_array_equal(s.sparse[A.rows, A.cols] != 0, np.abs(errors(instance)) > 1e-9)
        fm.testing.check_solution(s, problem)


def test_rank_thirty_and_many_errors():
    instance = SAMPLE((200, 200), 12, corruption=0.15, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert (s.status, s.rank) == (fm.Status.unique_flat_minimum, 12)
    assert s.certificate.relative_gap <= 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(("d", "rank", "share"), [(300, 5, 0.25), (500, 1, 0.3)])
def test_many_errors_near_the_limit_of_recovery(d, rank, share):
    """Where the norm of the dual matrix is one, but for little, a rough look at it takes it for feasible too early."""
    instance = SAMPLE((d, d), rank, corruption=share, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert s.certificate.relative_gap <= 1e-8
    assert np.linalg.norm(s.matrix - instance.truth) <= 1e-8 * np.linalg.norm(instance.truth)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("digits", [9, 8])
def test_numbers_that_were_rounded(digits):
    """What rounding leaves in every cell is an error to be paid; as little as that the short way does not mind."""
    instance = SAMPLE((200, 150), 3, corruption=0.1, seed=0)
    data = np.array([float(f"{value:.{digits}g}") for value in instance.problem.data])
    s = fm.flat_minimum(replace(instance.problem, data=data))
    assert s.certificate.holds
    assert np.linalg.norm(s.matrix - instance.truth) <= 10 ** (1 - digits) * np.linalg.norm(instance.truth)
    if digits == 9:
        assert s.rank == 3
        assert s.iterations < 20


def test_a_dual_matrix_that_is_taken_for_feasible_is_improved(monkeypatch):
    from flatmin.solvers.robust import split_dual

    monkeypatch.setattr(split_dual, "_norm_outside", lambda *arguments: 0.5)
    s = fm.flat_minimum(SAMPLE((300, 300), 5, corruption=0.25, seed=0).problem)
    assert s.certificate.holds
    assert s.history["iteration"][-1] == s.iterations
    assert len({len(values) for values in s.history.values()}) == 1


def test_a_limit_in_the_first_rounds_keeps_what_they_found():
    instance = SAMPLE((200, 200), 3, seed=0)
    s = fm.flat_minimum(instance.problem, max_iter=2)
    assert s.status is fm.Status.iteration_limit
    assert s.iterations == 2
    assert s.rank > 0
    assert len(s.history["gap"]) == 1
    assert np.linalg.norm(s.matrix - instance.truth) < 0.5 * np.linalg.norm(instance.truth)


def test_below_recovery_the_flat_minimum_is_certified_and_is_not_the_truth():
    instance = SAMPLE((40, 40), 8, corruption=0.35, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert s.certificate.holds
    assert np.linalg.norm(s.matrix - instance.truth) > 0.1 * np.linalg.norm(instance.truth)
    assert not fm.certify(instance.problem, instance.truth).holds


def test_the_size_of_an_error_does_not_matter():
    instance = SAMPLE((60, 60), 1, seed=2)
    sizes = errors(instance)
    first = fm.flat_minimum(instance.problem)
    for factor in (1e2, 1e4):
        far = replace(instance.problem, data=instance.problem.data + (factor - 1) * sizes)
        s = fm.flat_minimum(far)
        assert s.certificate.holds
        np.testing.assert_allclose(s.matrix, first.matrix, atol=1e-9 * factor)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_scale(scale):
    instance = SAMPLE((30, 20), 1, 500, corruption=0.03, seed=3)
    s = fm.flat_minimum(replace(instance.problem, data=scale * instance.problem.data))
    assert s.status is fm.Status.unique_flat_minimum
    np.testing.assert_allclose(s.matrix / scale, instance.truth, atol=1e-9)
    assert s.certificate.radius / scale < 1e-6


def test_degenerate_data():
    rng = np.random.default_rng(0)
    zero = fm.robust_pca(np.zeros((5, 6)))
    assert (zero.status, zero.rank, zero.certificate.value) == (fm.Status.unique_flat_minimum, 0, 0.0)
    constant = fm.robust_pca(np.full((12, 10), 3))
    assert (constant.status, constant.rank) == (fm.Status.unique_flat_minimum, 1)
    assert not constant.sparse.any()
    cheap = fm.robust_pca(rng.standard_normal((20, 20)), weight=0.01)
    assert (cheap.status, cheap.rank) == (fm.Status.unique_flat_minimum, 0)
    dear = fm.robust_pca(rng.standard_normal((12, 12)), weight=5.0)
    assert (dear.status, dear.rank) == (fm.Status.unique_flat_minimum, 12)
    assert not dear.sparse.any()
    large = fm.robust_pca(rng.standard_normal((6, 5)), tau=1e3)
    assert (large.status, large.rank) == (fm.Status.unique_flat_minimum, 0)
    whole = rng.integers(-4, 5, (10, 12))
    nothing = fm.robust_pca(whole, tau=0)
    np.testing.assert_allclose(nothing.low_rank, whole, atol=1e-7)
    assert nothing.certificate.holds


@pytest.mark.parametrize("Y", [[[3.0]], np.ones((1, 7)), [[2.0], [-1.0], [0.5]]], ids=["cell", "row", "column"])
def test_two_equally_good_splits_are_shown(Y):
    """With the default weight a single row costs as much as its errors do: all of it, nothing, and much between."""
    s = fm.robust_pca(Y)
    c = s.certificate
    assert (s.status, c.unique, c.radius) == (fm.Status.flat_minimum, False, None)
    other = c.alternative[0] @ c.alternative[1].T
    assert np.linalg.norm(other - s.matrix) > 1e-2 * np.linalg.norm(Y)
    value = np.linalg.norm(other, "nuc") + np.abs(Y - other).sum() / np.sqrt(max(np.shape(Y)))
    assert value == pytest.approx(c.value, rel=1e-8)


def test_rows_and_columns_without_data_are_undetermined_and_zero():
    instance = SAMPLE((20, 20), 1, corruption=0.03, seed=0)
    Y = instance.problem.data.reshape(20, 20)
    mask = np.ones((20, 20), bool)
    mask[3], mask[:, 5], mask[7, 7] = False, False, False
    s = fm.robust_pca(np.where(mask, Y, np.nan))
    np.testing.assert_array_equal(s.undetermined[0], [3])
    np.testing.assert_array_equal(s.undetermined[1], [5])
    assert not s.matrix[3].any()
    assert not s.matrix[:, 5].any()
    assert not s.sparse[~mask].any()
    assert s.status is fm.Status.unique_flat_minimum
    np.testing.assert_allclose((s.low_rank + s.sparse)[mask], Y[mask], atol=1e-9)
    np.testing.assert_array_equal(s.matrix, fm.robust_pca(Y, mask).matrix)
    fm.testing.check_solution(s)


def test_the_order_of_the_cells_does_not_matter():
    instance = SAMPLE((20, 18), 1, 300, corruption=0.05, seed=4)
    A, b = instance.problem.measurement, instance.problem.data
    shuffled = np.random.default_rng(0).permutation(A.size)
    other = fm.Problem(A.take(shuffled), b[shuffled], loss=fm.losses.Absolute())
    one, two = fm.flat_minimum(instance.problem), fm.flat_minimum(other)
    np.testing.assert_allclose(one.matrix, two.matrix, atol=1e-10)
    np.testing.assert_array_equal(one.certificate.dual[shuffled], two.certificate.dual)


def test_limits_and_warm_start():
    instance = SAMPLE((60, 60), 2, corruption=0.1, seed=0)
    rows = []
    short = fm.flat_minimum(instance.problem, max_iter=7, callback=rows.append)
    assert (short.status, short.iterations) == (fm.Status.iteration_limit, 7)
    assert {"iteration", "seconds", "residual", "gap", "rank"} <= set(rows[0])
    assert [row["gap"] for row in rows] == short.history["gap"].tolist()
    assert fm.flat_minimum(instance.problem, max_iter=0).rank == 0
    assert fm.flat_minimum(instance.problem, time_limit=0).status is fm.Status.time_limit
    whole = fm.flat_minimum(instance.problem)
    again = fm.flat_minimum(instance.problem, warm_start=whole)
    assert again.iterations < whole.iterations / 2
    assert again.certificate.unique
    assert fm.flat_minimum(instance.problem, warm_start=whole.factors).certificate.unique
    narrow = fm.flat_minimum(instance.problem, max_rank=1)
    assert (narrow.rank, narrow.status) == (1, fm.Status.not_certified)


def test_certify_takes_any_split_and_any_dual():
    instance = made(None, corruption=0.03)
    problem, truth = instance.problem, instance.truth
    assert fm.certify(problem, truth).holds
    dual = fm.flat_minimum(problem).certificate.dual
    assert fm.certify(problem, truth, dual).unique
    assert not fm.certify(problem, 1.001 * truth, dual).holds
    assert not fm.certify(problem, np.zeros(problem.shape), dual).holds
    larger = fm.certify(problem, truth, 3 * dual)
    assert larger.holds
    assert larger.dual_norm == pytest.approx(3, rel=1e-9)
    assert fm.certify(problem, truth, np.zeros(problem.measurement.size)).lower_bound == 0


def wrong_answers(problem, rng, count):
    """Yield splits that are not the best one, some of them nearly."""
    best = fm.flat_minimum(problem)
    for _ in range(count):
        shift = [rng.standard_normal((d, 1)) for d in problem.shape]
        size = 10.0 ** rng.uniform(-2.5, 0) * np.linalg.norm(best.matrix)
        moved = best.matrix + size * (shift[0] @ shift[1].T) / np.linalg.norm(shift[0] @ shift[1].T)
        U, s, Vt = np.linalg.svd(moved)
        n = len(s)
        yield (U[:, :n] * s, Vt[:n].T), best.certificate.dual


@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", [None, 1.0], ids=["weight", "tau"])
def test_no_dual_certifies_a_wrong_split(form):
    """Ten thousand perturbed duals, scaled at random: none proves what is not true."""
    problem, rng = made(form, shape=(6, 5), corruption=0.1).problem, np.random.default_rng(0)
    least = referee(problem)[0]
    for factors, dual in wrong_answers(problem, rng, 50):
        for _ in range(100):
            noise = rng.standard_normal(dual.size) * 10.0 ** rng.uniform(-8, 0)
            c = robust_certificate(problem, factors, dual * rng.uniform(0.5, 2) + noise, look_further=False)
            assert c.lower_bound <= least * (1 + 1e-6)
            assert not c.holds


@pytest.mark.sampled(3)
@pytest.mark.parametrize("observed", [1.0, 0.8], ids=["all", "missing"])
@pytest.mark.parametrize("form", FORMS)
def test_no_rival_leaves_the_radius(form, observed):
    """Matrices nearly as good, as far as cvxpy finds them in random directions, stay within the certified radius."""
    problem = made(FORMS[form], observed=observed, corruption=0.04, seed=5).problem
    s, rng = fm.flat_minimum(problem, tol=1e-10), np.random.default_rng(1)
    c = s.certificate
    assert c.stability is not None
    for excess in (1e-4, 1e-2):
        for _ in range(3):
            rival = referee(problem, rival=rng.standard_normal(problem.shape), allowed=(1 + excess) * c.value)[1]
            apart = np.linalg.norm(rival - s.matrix)
            assert 1e-6 < apart <= c.error_radius(excess=excess)


@pytest.mark.slow
def test_the_truth_under_noise_lies_within_the_radius():
    for seed in range(2):
        instance = SAMPLE((40, 40), 1, corruption=0.05, noise=1e-4, seed=seed)
        clean = SAMPLE((40, 40), 1, corruption=0.05, seed=seed)
        noise = np.linalg.norm(instance.problem.data - clean.problem.data)
        s = fm.flat_minimum(instance.problem)
        truth = np.linalg.norm(instance.truth, "nuc") + np.abs(errors(clean)).sum() / np.sqrt(40)
        excess = max(0.0, truth / s.certificate.value - 1)
        radius = s.certificate.error_radius(noise, excess)
        assert radius is None or np.linalg.norm(s.matrix - instance.truth) <= radius


@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_the_hidden_share(seed):
    """``‖P_Ω P_T‖²`` from its definition, below both bounds; the probabilistic one is close."""
    rng = np.random.default_rng(seed)
    d1, d2, q = 14, 11, 2
    hidden = (rng.random((d1, d2)) < 0.2).astype(float)
    U, V = (np.linalg.qr(rng.standard_normal((d, q)))[0] for d in (d1, d2))
    P1, P2 = np.eye(d1) - U @ U.T, np.eye(d2) - V @ V.T
    project = np.eye(d1 * d2) - np.kron(P1, P2)
    exact = np.linalg.norm(hidden.reshape(-1, 1) * project, 2) ** 2
    assert exact <= incoherence_bound(hidden, U, V) * (1 + 1e-12)
    likely = hidden_share(hidden, U, V, (seed, 0))
    assert exact <= likely * (1 + 1e-9)
    assert 1 - likely >= 0.3 * (1 - exact)
    assert hidden_share(np.zeros((d1, d2)), U, V) <= 1e-7  # rounding is counted


def test_random_starts_of_the_hidden_share_have_streams_of_their_own():
    """Not that of the solver with the same seed, nor that of another cut, nor that of the bound of the norm."""
    shape, q = (14, 11), 2
    count = hidden_cells.STARTS * q * sum(shape)
    draws = [hidden_cells._starts(shape, q, stream) for stream in [(0, 0), (0, 1), (0, 2), (1, 0)]]
    flat = [np.concatenate([part.ravel() for start in draw for part in start]) for draw in draws]
    flat += [np.random.default_rng(0).standard_normal(count)]
    flat += [random_starts.normal_starts(np.zeros((1, count)), 1, (0, k)).ravel() for k in range(3)]
    for i, one in enumerate(flat):
        for other in flat[:i]:
            assert not np.isin(one, other).any()


@pytest.mark.parametrize(("starts", "cut", "chance"), [(1, 0, 0.2), (1, 1, 0.4), (3, 0, 0.2)])
def test_the_hidden_share_is_wrong_as_often_as_it_says(monkeypatch, starts, cut, chance):
    """One hidden cell: the bound of a single step is exact in the component, so it fails when that is too small."""
    monkeypatch.setattr(hidden_cells, "HIDDEN_FAILURE", chance)
    monkeypatch.setattr(hidden_cells, "STARTS", starts)
    monkeypatch.setattr(hidden_cells, "STEPS", 1)
    monkeypatch.setattr(hidden_cells, "_rounding", lambda *_: 0.0)
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (9, 8))
    hidden = np.zeros((9, 8), bool)
    hidden[3, 5] = True
    u, v = U[3] @ U[3], V[5] @ V[5]
    exact, trials, says = u + v - u * v, 400, chance / 2 ** (cut + 1)
    wrong = sum(hidden_share(hidden, U, V, (seed, cut)) < exact for seed in range(trials))
    low, high = binom.ppf([1e-4, 1 - 1e-4], trials, says)
    # with several starts the largest of their bounds counts, which may be right where one start is not
    assert wrong <= high
    assert wrong >= low or starts > 1


def test_the_chance_of_a_certificate_adds_up(monkeypatch):
    """The bounds of the norm, of all cuts and of a second solution: each is reported, and the sum is small enough."""
    chances = []

    def likely(*arguments, found=robust_certificates.top_spectrum, **limits):
        chances.append(random_starts.FAILURE)
        return replace(found(*arguments, **limits), kind="probabilistic", failure=random_starts.FAILURE)

    monkeypatch.setattr(robust_certificates, "top_spectrum", likely)
    instance = SAMPLE((60, 50), 2, corruption=0.05, seed=0)
    solution = fm.flat_minimum(instance.problem)
    judge = partial(robust_certificate, instance.problem, solution.factors, solution.certificate.dual)
    assert judge(look_further=False).failure_probability == random_starts.FAILURE

    def another(split, as_good, seed):
        found, _ = robust_uniqueness.other_splits(split, as_good, seed)
        U, s, V = split.X
        return replace(found, unique=False, alternative=(U * s, V)), "probabilistic"

    own = hidden_cells.HIDDEN_FAILURE
    monkeypatch.setattr(robust_certificates, "other_splits", another)
    chances.clear()
    proof = judge()
    assert len(chances) == 2
    assert proof.alternative is not None
    assert proof.failure_probability == pytest.approx(sum(chances) + own)
    assert proof.failure_probability <= LARGEST_CHANCE
    assert sum(own / 2 ** (k + 1) for k in range(len(robust_uniqueness.CUTS))) <= own


def test_clip_level_projects_on_the_ball():
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = np.abs(rng.standard_normal(rng.integers(1, 30)))
        clock = rng.uniform(0, 1.3) * sizes.sum() * rng.integers(0, 2)
        level = clip_level(sizes, clock, rng.uniform(0, 4))
        left = np.maximum(sizes - level, 0).sum()
        assert left == pytest.approx(clock, abs=1e-12) or (level == 0 and left <= clock)


def test_the_loss_is_the_squared_distance_from_the_ball():
    residual = np.random.default_rng(0).standard_normal(12)
    S = cp.Variable(12)
    program = cp.Problem(cp.Minimize(cp.sum_squares(residual - S)), [cp.norm1(S) <= 3])
    program.solve(solver=cp.CLARABEL)
    assert fm.losses.Absolute(tau=3).value(residual) == pytest.approx(program.value, rel=1e-6)
    assert fm.losses.Absolute(tau=1e3).value(residual) == 0
    assert fm.losses.Absolute().value(residual) == 0


def test_traces_are_those_of_the_smooth_function_above():
    """At the base point the ball is replaced by its nearest point: a squared distance from a fixed matrix."""
    rng = np.random.default_rng(0)
    problem = fm.Problem(fm.measurements.Identity((3, 2)), rng.standard_normal(6), loss=fm.losses.Absolute(tau=1.0))
    L, R = rng.standard_normal((3, 2)), rng.standard_normal((2, 2))
    flat = fm.flatness(problem, (L, R))

    def smooth(x):
        A, B = x[:6].reshape(3, 2), x[6:].reshape(2, 2)
        return np.sum((A @ B.T) ** 2)  # the fixed matrix only adds terms whose second derivatives have no trace

    x, h = np.concatenate([L.ravel(), R.ravel()]), 1e-3
    second = [(smooth(x + h * e) - 2 * smooth(x) + smooth(x - h * e)) / h**2 for e in np.eye(10)]
    assert flat.hessian_trace == pytest.approx(sum(second), rel=1e-5)
    assert flat.scaled_trace == pytest.approx(sum(second[:6]) / 3 + sum(second[6:]) / 2, rel=1e-5)
    assert flat.fibre_minimum == pytest.approx(4 * np.linalg.norm(L @ R.T, "nuc"))


def test_saved_and_loaded(tmp_path):
    problem = made(None, corruption=0.03).problem
    s = fm.flat_minimum(problem)
    s.save(tmp_path / "s.npz")
    again = fm.Solution.load(tmp_path / "s.npz", problem)
    np.testing.assert_array_equal(again.sparse, s.sparse)
    assert again.certificate.error_radius(1e-3, 1e-3) == s.certificate.error_radius(1e-3, 1e-3)


Y = np.eye(3)
