"""Flat solutions of products of many vectors or many matrices: against cvxpy, with their certificates and limits."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin.proofs.certificate import LARGEST_RESIDUAL
from flatmin.proofs.depth.hadamard import hadamard_certificate
from flatmin.testing import check_solution

DEPTHS = [2, 3, 5]


def _sparse(n=20, sparsity=3, m=12, depth=2, seed=0, **extras):
    return fm.families.sparse_regression.sample(n, sparsity, m, depth=depth, seed=seed, **extras)


def _rows(problem):
    return problem.measurement.matrices()[:, :, 0]


def _value(problem, x):
    """Return ``2N Σ w |x|^p`` from the definition."""
    N = problem.parametrization.depth
    return 2 * N * np.mean(_rows(problem) ** 2, axis=0) @ np.abs(np.ravel(x)) ** (2 - 2 / N)


def _referee(problem):
    """Return the optimal value and vector by cvxpy."""
    N, rows = problem.parametrization.depth, _rows(problem)
    x = cp.Variable(rows.shape[1])
    powers = cp.abs(x) if N == 2 else cp.power(cp.abs(x), 2 - 2 / N)
    program = cp.Problem(cp.Minimize(np.mean(rows**2, axis=0) @ powers), [rows @ x == problem.data])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return 2 * N * program.value, x.value


def _null_step(problem, rng):
    rows = _rows(problem)
    step = rng.standard_normal(rows.shape[1])
    return step - np.linalg.pinv(rows) @ (rows @ step)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("sparsity", "m"), [(2, 14), (9, 10), (5, 3)])
def test_agrees_with_cvxpy(depth, sparsity, m):
    problem = _sparse(20, sparsity, m, depth).problem
    s = fm.flat_minimum(problem)
    value, x = _referee(problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert abs(s.certificate.relative_gap) <= 1e-9
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    assert s.certificate.lower_bound <= value * (1 + 1e-7)
    np.testing.assert_allclose(s.matrix[:, 0], x, atol=1e-3 * np.linalg.norm(x))
    check_solution(s, problem)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_factors_are_the_flattest(depth):
    s = fm.flat_minimum(_sparse(depth=depth).problem)
    assert s.flatness.scaled_trace == pytest.approx(s.flatness.fibre_minimum)
    assert s.flatness.fibre_minimum == pytest.approx(s.certificate.value)
    assert s.flatness.balance == pytest.approx(0, abs=1e-12)
    assert s.matrix.shape == (20, 1)
    assert s.rank == np.count_nonzero(s.matrix)


def test_depth_destroys_the_sparse_bias():
    """The same data: two factors find the sparse truth, three do not, and many are close to least squares."""
    errors = {}
    for depth in (2, 3, 1000):
        instance = _sparse(60, 4, 30, depth)
        s = fm.flat_minimum(instance.problem)
        errors[depth] = np.linalg.norm(s.matrix - instance.truth) / np.linalg.norm(instance.truth)
        assert s.certificate.holds
    assert errors[2] < 1e-12
    assert 0.05 < errors[3] < errors[1000]
    rows, weights = _rows(instance.problem), np.mean(_rows(instance.problem) ** 2, axis=0)
    root = np.sqrt(weights)
    least_squares = np.linalg.pinv(rows / root) @ instance.problem.data / root
    np.testing.assert_allclose(s.matrix[:, 0], least_squares, atol=0.01 * np.linalg.norm(least_squares))


@given(depth=st.sampled_from(DEPTHS), seed=st.integers(0, 10_000), size=st.sampled_from([1e-9, 1e-3, 1, 1e6]))
def test_any_dual_at_all_gives_a_bound_below_the_optimum(depth, seed, size):
    problem = _sparse(8, 2, 4, depth).problem
    s = fm.flat_minimum(problem)
    dual = s.certificate.dual + size * np.random.default_rng(seed).standard_normal(4)
    for scale in (1, -1, 1e-8):
        proof = fm.certify(problem, s.factors, scale * dual)
        assert proof.lower_bound <= s.certificate.value * (1 + 1e-12)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("depth", DEPTHS)
def test_no_dual_certifies_a_wrong_vector(depth):
    """Ten thousand perturbed duals and as many interpolants that are not flattest."""
    problem = _sparse(8, 2, 4, depth).problem
    s, rng = fm.flat_minimum(problem), np.random.default_rng(0)
    for trial in range(3400):
        x = s.matrix[:, 0] + 10.0 ** rng.uniform(-2, 2) * _null_step(problem, rng)
        dual = s.certificate.dual + (trial % 2) * 10.0 ** rng.uniform(-8, 2) * rng.standard_normal(4)
        factors = np.sign(x) * np.abs(x) ** (1 / depth), *[np.abs(x) ** (1 / depth)] * (depth - 1)
        proof = hadamard_certificate(problem, problem.parametrization.check(factors, (8, 1)), dual)
        assert proof.relative_residual < LARGEST_RESIDUAL
        assert not proof.holds
        assert proof.unique is None


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_does_not_fit_is_refused(depth):
    instance = _sparse(depth=depth)
    s = fm.flat_minimum(instance.problem)
    for x in (0.9 * s.matrix, (1 + 1e-7) * s.matrix, np.zeros((20, 1))):
        proof = fm.certify(instance.problem, x, s.certificate.dual)
        assert not proof.holds
        assert proof.relative_residual > LARGEST_RESIDUAL


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [1e-4, 1e-7, 1e-10])
def test_the_radius_holds_the_flat_minimum(depth, size):
    """Solutions that are not quite flattest, with duals that are not quite optimal: the flattest one is that near."""
    problem = _sparse(depth=depth).problem
    s, rng = fm.flat_minimum(problem), np.random.default_rng(1)
    judged = 0
    for _ in range(20):
        step, noise = _null_step(problem, rng), rng.standard_normal(12)
        x = s.matrix + size * (step / np.linalg.norm(step))[:, None] * np.linalg.norm(s.matrix)
        dual = s.certificate.dual * (1 + size * noise)
        proof = fm.certify(problem, x, dual)
        if proof.radius is not None:
            judged += 1
            assert np.linalg.norm(x - s.matrix) <= proof.radius * (1 + 1e-9)
            assert proof.unique is None or proof.radius <= 1e-2 * np.linalg.norm(x)
    assert judged == 20 or size > 1e-6
    assert s.certificate.radius <= 1e-9 * np.linalg.norm(s.matrix)


@pytest.mark.parametrize(("noise", "excess"), [(0.0, 0.0), (0.01, 0.0), (0.0, 0.05), (0.1, 0.1)])
def test_nothing_that_nearly_fits_and_is_nearly_as_flat_is_farther_than_the_error_radius(noise, excess):
    """Adversaries pull in random directions and away from the solution; rows and columns are of various sizes."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((9, 12)) * rng.uniform(0.3, 3, (9, 1)) * rng.uniform(0.3, 3, 12)
    truth = np.zeros(12)
    truth[:2] = [1.0, -2.0]
    problem = fm.Problem(fm.measurements.Dense(rows), rows @ truth, fm.Hadamard(2))
    s = fm.flat_minimum(problem)
    radius = s.certificate.error_radius(noise, excess)
    x, direction, weights = cp.Variable(12), cp.Parameter(12), np.mean(rows**2, axis=0)
    limits = [cp.norm(rows @ x - problem.data) <= noise, 4 * weights @ cp.abs(x) <= (1 + excess) * s.certificate.value]
    program = cp.Problem(cp.Maximize(direction @ x), limits)
    farthest = 0.0
    for _ in range(8):
        direction.value = rng.standard_normal(12)
        for _ in range(3):
            program.solve(solver=cp.CLARABEL)
            farthest = max(farthest, float(np.linalg.norm(x.value - s.matrix[:, 0])))
            direction.value = x.value - s.matrix[:, 0]
    assert farthest <= radius + 1e-4
    assert radius <= 100 * farthest + 1e-9
    assert noise + excess == 0 or farthest > 0.003


def test_the_error_radius_cannot_be_smaller():
    """By hand: of the solutions of x_1 + 2 x_2 = 1, whose weights are (1, 4), the flattest is (1, 0).

    Nearby: x_2 = t/4 with a slack of ½ for t, paid by x_1 = 1 − t/2 − noise; it is as flat up to t/2 − noise ≤ excess.
    """
    problem = fm.Problem(fm.measurements.Dense([[1.0, 2.0]]), [1.0], fm.Hadamard(2))
    s = fm.flat_minimum(problem)
    np.testing.assert_allclose(s.matrix[:, 0], [1, 0], atol=1e-12)
    for noise, excess in ((0.1, 0.0), (0.0, 0.2), (0.1, 0.2)):
        t = 2 * (noise + excess)
        other = np.array([1 - t / 2 - noise, t / 4])
        assert abs(other @ [1, 2] - 1) <= noise + 1e-12
        assert 4 * np.abs(other) @ [1, 4] <= s.certificate.value * (1 + excess) + 1e-12
        assert s.certificate.error_radius(noise, excess) == pytest.approx(np.linalg.norm(other - s.matrix[:, 0]))


def test_a_second_solution_must_earn_its_own_certificate(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((3, 4))
    problem = fm.Problem(fm.measurements.Dense(np.hstack([rows, rows])), rows[:, 0], fm.Hadamard(2))
    assert fm.flat_minimum(problem).certificate.unique is False
    monkeypatch.setattr("flatmin.proofs.depth.nearby._another", lambda B, b, z, *rest: 1.01 * z)
    assert fm.flat_minimum(problem).certificate.unique is None


def test_a_second_sparse_solution_is_found():
    """Repeated columns share their part in any proportion; a third factor settles it."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 8))
    rows, x = np.hstack([half, half]), np.zeros(16)
    x[:2] = [1, -2]
    problem = fm.Problem(fm.measurements.Dense(rows), rows @ x, fm.Hadamard(2))
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.flat_minimum
    for proof, mine in ((s.certificate, s.matrix), (fm.certify(problem, x[:, None], s.certificate.dual), x[:, None])):
        assert proof.unique is False
        assert proof.radius is None
        other = problem.parametrization.matrix(proof.alternative)
        np.testing.assert_allclose(rows @ other[:, 0], problem.data, atol=1e-12)
        assert _value(problem, other) == pytest.approx(_value(problem, mine), rel=1e-9)
        assert np.linalg.norm(other - mine) > 0.1 * np.linalg.norm(mine)
    check_solution(s, problem)
    deeper = fm.flat_minimum(fm.Problem(problem.measurement, problem.data, fm.Hadamard(3)))
    assert deeper.status is fm.Status.unique_flat_minimum
    np.testing.assert_allclose(deeper.matrix[:8], deeper.matrix[8:], atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_uniqueness_agrees_with_linear_programming(seed):
    """Zero-one vectors have ties: the spread of a random functional over all ℓ1 minimisers decides."""
    rng = np.random.default_rng(seed)
    rows = rng.choice([-1.0, 1.0], (5, 8))
    problem = fm.Problem(fm.measurements.Dense(rows), rows @ rng.integers(-1, 2, 8), fm.Hadamard(2))
    s = fm.flat_minimum(problem)
    x, direction = cp.Variable(8), rng.standard_normal(8)
    limits = [rows @ x == problem.data, 4 * cp.norm1(x) <= s.certificate.value * (1 + 1e-9)]
    ends = [cp.Problem(sense(direction @ x), limits).solve(solver=cp.CLARABEL) for sense in (cp.Maximize, cp.Minimize)]
    assert s.certificate.holds
    assert s.certificate.unique == (ends[0] - ends[1] < 1e-4)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("make", ["tall", "repeated"])
def test_contradictory_data_give_the_flattest_best_fit(depth, make):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((10, 5)) if make == "tall" else np.repeat(rng.standard_normal((3, 5)), 2, axis=0)
    b = rng.standard_normal(len(rows))
    s = fm.flat_minimum(fm.Problem(fm.measurements.Dense(rows), b, fm.Hadamard(depth)))
    assert s.status is fm.Status.inconsistent_data
    assert not s.certificate.holds
    best = rows @ np.linalg.lstsq(rows, b)[0]
    np.testing.assert_allclose(rows @ s.matrix[:, 0], best, atol=1e-9)
    nearest = fm.Problem(fm.measurements.Dense(rows), best, fm.Hadamard(depth))
    assert fm.certify(nearest, s.matrix).holds


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_no_measurement_sees_is_zero(depth):
    rows = np.random.default_rng(0).standard_normal((4, 7))
    rows[:, [2, 5]] = 0
    problem = fm.Problem(fm.measurements.Dense(rows), np.arange(4.0), fm.Hadamard(depth))
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.unique_flat_minimum
    np.testing.assert_array_equal(s.undetermined[0], [2, 5])
    assert not s.matrix[[2, 5]].any()
    check_solution(s, problem)
    blind = fm.Problem(fm.measurements.Dense(np.zeros((2, 3))), [0.0, 0.0], fm.Hadamard(depth))
    assert not fm.flat_minimum(blind).matrix.any()
    impossible = fm.flat_minimum(fm.Problem(blind.measurement, [1.0, 0.0], fm.Hadamard(depth)))
    assert impossible.status is fm.Status.inconsistent_data
    assert np.isfinite(list(vars(impossible.flatness).values())).all()


@pytest.mark.parametrize("depth", DEPTHS)
def test_zero_data(depth):
    problem = fm.Problem(fm.measurements.Dense(np.ones((2, 3))), [0.0, 0.0], fm.Hadamard(depth))
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert not s.matrix.any()
    assert s.certificate.relative_gap == s.certificate.radius == s.rank == 0
    check_solution(s, problem)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("columns", [0, 4])
def test_scales_do_not_matter(depth, columns):
    """Data of any size, rows and columns of very different ones."""
    rng = np.random.default_rng(depth)
    rows = (
        rng.standard_normal((8, 15)) * 10.0 ** rng.uniform(-4, 4, (8, 1)) * 10.0 ** rng.uniform(-columns, columns, 15)
    )
    x = np.zeros(15)
    x[:3] = 1 / np.abs(rows).mean(axis=0)[:3]
    for size in (1e-100, 1, 1e100):
        s = fm.flat_minimum(fm.Problem(fm.measurements.Dense(rows), size * (rows @ x), fm.Hadamard(depth)))
        assert s.certificate.holds


@pytest.mark.parametrize("depth", DEPTHS)
def test_limits(depth):
    problem = _sparse(60, 20, 30, depth).problem
    s = fm.flat_minimum(problem, max_iter=1)
    assert (s.status, s.iterations) == (fm.Status.iteration_limit, 1)
    assert s.certificate.relative_gap > 1e-6
    assert s.certificate.lower_bound <= fm.flat_minimum(problem).certificate.value
    assert fm.flat_minimum(problem, time_limit=0).status is fm.Status.time_limit
    rows = []
    fm.flat_minimum(problem, callback=rows.append)
    assert set(rows[0]) == {"iteration", "seconds", "residual", "gap", "rank"}
    assert rows[-1]["iteration"] == len(rows) - 1


@pytest.mark.parametrize("model", [fm.Hadamard(2), fm.Chain((2,))])
@pytest.mark.parametrize("setting", [{"metric_power": 0.5}, {"max_rank": 1}, {"warm_start": ()}])
def test_arguments_that_mean_nothing_are_refused(model, setting):
    shape = (3, 1) if isinstance(model, fm.Hadamard) else (3, 2)
    A = fm.measurements.Identity(shape)
    problem = fm.Problem(A, np.ones(A.size), model)
    name = next(iter(setting))
    with pytest.raises(fm.InputError, match=rf"{name} .*expected its default .* for (Hadamard|Chain)"):
        fm.flat_minimum(problem, **setting)
    if name in ("alpha", "metric_power"):
        with pytest.raises(fm.InputError, match=rf"{name} .*expected its default"):
            fm.certify(problem, np.ones(shape), np.ones(A.size), **setting)


@pytest.mark.parametrize("depth", DEPTHS)
def test_saved_and_loaded(depth, tmp_path):
    problem = _sparse(depth=depth).problem
    s = fm.flat_minimum(problem)
    s.save(tmp_path / "s.npz")
    again = fm.Solution.load(tmp_path / "s.npz", problem)
    assert again.parametrization == fm.Hadamard(depth)
    np.testing.assert_array_equal(again.matrix, s.matrix)
    assert again.certificate.scalars() == s.certificate.scalars()


def test_samples_of_sparse_regression():
    instance = _sparse(20, 3, 12)
    assert instance.truth.shape == instance.problem.shape == (20, 1)
    assert np.count_nonzero(instance.truth) == 3
    np.testing.assert_array_equal(instance.problem.data, instance.problem.measurement.forward(instance.truth))
    np.testing.assert_array_equal(_sparse(depth=5).problem.data, instance.problem.data)
    assert not np.array_equal(_sparse(seed=1).problem.data, instance.problem.data)
    clean, noisy = (_sparse(200, 3, 3000, noise=noise).problem.data for noise in (0, 0.1))
    assert np.linalg.norm(noisy - clean) / np.linalg.norm(clean) == pytest.approx(0.1, rel=0.1)
    assert not _sparse(20, 0, 12).truth.any()
    assert "sparse-regression" not in fm.families.names()
    with pytest.raises(fm.InputError, match="no family 'sparse-regression'"):
        fm.families.find("sparse-regression")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20, 21, 12), "sparsity is 21, expected a whole number from 0 to 20"),
        ((20, -1, 12), "sparsity is -1"),
        ((20, 1.5, 12), "sparsity is 1.5"),
        ((0, 0, 12), "shape is"),
        ((20, 3, 0), "number of measurements is 0"),
    ],
)
def test_bad_samples_are_refused(arguments, message):
    with pytest.raises(fm.InputError, match=message):
        fm.families.sparse_regression.sample(*arguments)
    with pytest.raises(fm.InputError, match="noise is -1"):
        _sparse(noise=-1)
    with pytest.raises(fm.InputError, match="depth is 1"):
        _sparse(depth=1)
