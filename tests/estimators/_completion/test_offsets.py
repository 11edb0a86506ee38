"""Offsets of rows and columns: elimination, joint optimality, strengths, and the noise beside them."""

import itertools
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import minimize

import flatmin as fm
from flatmin.errors import InputError
from flatmin.estimators._completion import offsets as joint_fits
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.solvers.alphas.cross_validation import cross_validate
from flatmin.solvers.offsets import equations as offset_equations
from flatmin.solvers.offsets.offset_free import OffsetFree
from flatmin.solvers.offsets.offset_model import OffsetModel
from flatmin.solvers.offsets.offsets import Offsets


def fit_with_offsets(entries, values, constant=True, rows="auto", columns="auto", **settings):
    return joint_fits.fit_with_offsets(Observations(entries, values, Strengths(constant, rows, columns)), **settings)


STRENGTHS = list(itertools.product((True, False), (None, 0.0, 2.5), (None, 0.0, 1.5)))


def sample(shape=(12, 10), m=80, rank=2, level=0.3, seed=0, weighted=False, spread=1.0):
    """Return entries, values, all of the matrix without noise, and the noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(rng.choice(np.prod(shape), m, replace=False), shape[1])
    X = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    truth = 3 + spread * rng.standard_normal((shape[0], 1)) + spread * rng.standard_normal(shape[1]) + X
    noise = level * rng.standard_normal(m)
    weights = rng.uniform(0.5, 1.5, m) if weighted else None
    return fm.measurements.Entries(rows, columns, shape, weights), truth[rows, columns] + noise, truth, noise


def dense(entries, constant, rows, columns):
    """Return H and K, written out."""
    w = np.ones(entries.size) if entries.weights is None else entries.weights
    blocks, kappas = [np.zeros((entries.size, 0))], []
    if constant:
        blocks, kappas = [*blocks, np.ones((entries.size, 1))], [0.0]
    for kappa, index, d in ((rows, entries.rows, entries.shape[0]), (columns, entries.cols, entries.shape[1])):
        if kappa is not None:
            blocks, kappas = [*blocks, np.eye(d)[index]], [*kappas, *[kappa] * d]
    return w[:, None] * np.hstack(blocks), np.diag(kappas)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("factorized", [True, False])
@pytest.mark.parametrize(("shape", "m"), [((6, 9), 20), ((9, 5), 25), ((7, 7), 6)])
def test_elimination_agrees_with_dense_least_squares(shape, m, factorized, monkeypatch):
    monkeypatch.setattr(offset_equations, "LARGEST_FACTORIZED", 4000 if factorized else 0)
    rng = np.random.default_rng(m)
    for (constant, rows, columns), weighted in itertools.product(STRENGTHS, (False, True)):
        index = rng.integers(0, shape[0], m), rng.integers(0, shape[1], m)
        entries = fm.measurements.Entries(*index, shape, rng.standard_normal(m) if weighted else None)
        w = np.ones(m) if entries.weights is None else entries.weights
        H, K = dense(entries, constant, rows, columns)
        P = np.eye(m) - H @ np.linalg.pinv(H.T @ H + K, rcond=1e-12) @ H.T
        model, v = OffsetModel(entries, constant, rows, columns), 5 + rng.standard_normal(m)
        reduced = OffsetFree(entries, model.equations)
        M = np.column_stack([reduced.reduce(unit) for unit in np.eye(m)])
        np.testing.assert_allclose(M.T @ M, P * len(M) / m, atol=1e-9)
        np.testing.assert_allclose(np.column_stack([reduced.expand(unit) for unit in np.eye(len(M))]), M.T, atol=1e-9)
        np.testing.assert_allclose(w * (v - model.fit(v).at(*index)), P @ (w * v), atol=1e-8)
        if factorized:
            assert model.freedom == pytest.approx(m - np.trace(P), abs=1e-8)


def joint_optimum(entries, values, constant, rows, columns, alpha, power):
    """Return the joint optimum and its X, by an interior-point method."""
    (d1, d2), m = entries.shape, entries.size
    X, a, b, g = cp.Variable((d1, d2)), cp.Variable(d1), cp.Variable(d2), cp.Variable()
    D1, D2 = (np.asarray(D.tempered(power)) for D in entries.metric())
    w = np.ones(m) if entries.weights is None else entries.weights
    cells = cp.hstack([X[i, j] for i, j in zip(entries.rows, entries.cols, strict=True)])
    residual = cp.multiply(w, values - g - a[entries.rows] - b[entries.cols] - cells)
    pull = (rows or 0) * cp.sum_squares(a) + (columns or 0) * cp.sum_squares(b)
    zero = [z == 0 for z, absent in ((a, rows is None), (b, columns is None), (g, not constant)) if absent]
    objective = (cp.sum_squares(residual) + pull) / m + 4 * alpha * cp.normNuc(D1 @ X @ D2)
    return cp.Problem(cp.Minimize(objective), zero).solve(solver=cp.CLARABEL), X.value


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("constant", "rows", "columns", "power"),
    [(True, 2.0, 3.0, 1.0), (True, 0.0, 0.0, 0.5), (True, None, 1.0, 1.0), (False, 0.0, None, 0.0)],
)
def test_the_joint_fit_is_the_optimum_of_a_conic_solver(constant, rows, columns, power):
    entries, values, _, _ = sample(weighted=True)
    best, X = joint_optimum(entries, values, constant, rows, columns, 0.08, power)
    kinds = {"constant": constant, "rows": rows, "columns": columns}
    found = fit_with_offsets(entries, values, **kinds, alpha=0.08, metric_power=power, tol=1e-10)
    proof = found.solution.certificate
    assert proof.holds
    assert proof.value == pytest.approx(best, rel=1e-7)
    assert proof.lower_bound <= best * (1 + 1e-7)
    assert abs(found.solution.matrix - X).max() < 5e-3
    left = entries.weights * (values - found.offsets.at(entries.rows, entries.cols)) - entries.forward(
        found.solution.matrix
    )
    pull = (rows or 0) * np.sum(found.offsets.rows**2) + (columns or 0) * np.sum(found.offsets.columns**2)
    D1, D2 = (np.asarray(D.tempered(power)) for D in entries.metric())
    norm = np.linalg.norm(D1 @ found.solution.matrix @ D2, "nuc")
    assert (left @ left + pull) / entries.size + 0.32 * norm == pytest.approx(proof.value, rel=1e-12)


def test_no_dual_vector_proves_more_than_the_optimum():
    entries, values, _, _ = sample()
    model = OffsetModel(entries, rows=2.0, columns=0.0)
    problem, rng = model.problem(values), np.random.default_rng(0)
    s = fm.flat_minimum(problem, alpha=0.1, tol=1e-10)
    for size in (0.0, 1e-3, 0.1, 1.0, 10.0):
        dual = s.certificate.dual + size * np.abs(s.certificate.dual).max() * rng.standard_normal(len(problem.data))
        judged = certificate_of(problem, s.factors, dual, alpha=0.1)
        assert judged.lower_bound <= s.certificate.value * (1 + 1e-12)
        assert judged.holds == (size == 0)


def test_fitting_offsets_first_is_not_the_joint_optimum():
    entries, values, _, _ = sample()
    model = OffsetModel(entries, rows=2.0, columns=2.0)
    problem = model.problem(values)
    joint = fm.flat_minimum(problem, alpha=0.05)
    first = fm.flat_minimum(model.rest(values, model.fit(values)), alpha=0.05)
    judged = certificate_of(problem, first.factors, joint.certificate.dual, alpha=0.05)
    assert joint.certificate.holds
    assert not judged.holds
    assert judged.relative_gap > 1e-4


@pytest.mark.sampled(1)
@pytest.mark.parametrize("alpha", [0.0, 0.1, "auto"])
def test_order_origin_and_units_do_not_matter(alpha):
    entries, values, _, _ = sample((20, 15), 180, level=0.2, seed=3)
    (i, j), shape = (entries.rows, entries.cols), entries.shape
    kinds = {"rows": 0.0, "columns": 3.0, "metric_power": 0.5, "tol": 1e-9}
    base = fit_with_offsets(entries, values, alpha=alpha, **kinds)

    def whole(found, p=None, q=None):
        matrix = found.solution.matrix + found.offsets.at(*np.indices(shape).reshape(2, -1)).reshape(shape)
        return matrix if p is None else matrix[np.ix_(p, q)]

    rng = np.random.default_rng(1)
    p, q, order = rng.permutation(shape[0]), rng.permutation(shape[1]), rng.permutation(len(values))
    moved = fm.measurements.Entries(p[i][order], q[j][order], shape)
    size = np.abs(whole(base)).max()
    permuted = fit_with_offsets(moved, values[order], alpha=alpha, **kinds)
    tolerance = (0.05 if alpha == "auto" else 1e-4) * size  # the noise is simulated with other draws
    assert abs(whole(permuted, p, q) - whole(base)).max() < tolerance
    by_row = rng.standard_normal(shape[0])
    shifted = fit_with_offsets(entries, values + 7 + by_row[i], alpha=alpha, **kinds)
    assert abs(whole(shifted) - whole(base) - 7 - by_row[:, None]).max() < 1e-4 * size
    scaled = fit_with_offsets(entries, 100 * values, alpha=100 * alpha if alpha != "auto" else alpha, **kinds)
    assert abs(whole(scaled) / 100 - whole(base)).max() < 1e-4 * size


def test_a_strength_keeps_its_meaning_along_the_metric_power():
    """The weights are ``n^p mean(n)^(1 − p)``: their mean does not depend on p where all are seen equally often."""
    entries = sample((12, 10), 60)[0]
    n = np.bincount(entries.rows, minlength=12)
    for power in (0.0, 0.3, 0.5, 1.0):
        D1 = entries.metric()[0].tempered(power)
        expected = n**power * n.mean() ** (1 - power) if power else np.where(n > 0, n.mean(), 0.0)
        np.testing.assert_allclose(D1.values**2 * entries.size * 10, expected, rtol=1e-12)
    rows, columns = np.divmod(np.arange(120), 10)
    full = fm.measurements.Entries(rows, columns, (12, 10))
    v = np.random.default_rng(0).standard_normal(120)
    found = [fit_with_offsets(full, v, alpha=0.5, metric_power=p).solution.matrix for p in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], atol=1e-6)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("strength", [0.0, "auto"])
def test_the_noise_beside_offsets_is_found(strength):
    for seed, (m, rank) in enumerate(((1800, 2), (1200, 1))):
        entries, values, truth, noise = sample((60, 50), m, rank, np.sqrt(rank) / 3, seed)
        found = fit_with_offsets(entries, values, rows=strength, columns=strength, alpha="auto")
        about = found.solution.noise
        assert found.solution.certificate.holds
        assert about.rank == about.penalised_rank == rank
        assert abs(about.sigma - noise.std()) < 3 * about.std_error
        everywhere = np.indices(truth.shape).reshape(2, -1)
        errors = []
        for (L, R), offsets in ((about.refit, found.refit_offsets), (found.solution.factors, found.offsets)):
            errors.append(np.sqrt(np.mean((L @ R.T + offsets.at(*everywhere).reshape(truth.shape) - truth) ** 2)))
        assert errors[0] < 0.8 * errors[1]
        plain = fm.measurements.Entries(entries.rows, entries.cols, entries.shape)
        left = [
            np.linalg.norm(values - plain.forward_factors(*factors) - z.at(entries.rows, entries.cols))
            for factors, z in ((about.refit, found.refit_offsets), (found.solution.factors, found.offsets))
        ]
        assert left[0] <= left[1]


@pytest.mark.slow
def test_few_free_offsets_need_no_rounds_and_agree_with_them(monkeypatch):
    entries, values, _, _ = sample((200, 20), 3000, 2, 0.4)
    quick = fit_with_offsets(entries, values, rows=None, columns=0.0, alpha="auto")
    monkeypatch.setattr("flatmin.estimators._completion.offsets.MAX_FREE_SHARE", 0.0)
    slow = fit_with_offsets(entries, values, rows=None, columns=0.0, alpha="auto")
    assert quick.solution.noise.alpha == pytest.approx(slow.solution.noise.alpha, rel=0.03)
    assert quick.solution.noise.rank == slow.solution.noise.rank == 3  # offsets of rows count as a column
    assert quick.solution.noise.sigma == pytest.approx(slow.solution.noise.sigma, rel=1e-3)


def test_estimated_strengths_maximise_the_restricted_likelihood():
    """The oracle writes the likelihood of values down as that of a Gaussian vector, up to an unknown constant."""
    for seed, (shape, m) in enumerate((((12, 10), 80), ((20, 15), 60))):
        entries, values, _, _ = sample(shape, m, 1, 0.6, seed, spread=0.8)
        rows, columns = np.eye(shape[0])[entries.rows], np.eye(shape[1])[entries.cols]

        def likelihood(logs, rows=rows, columns=columns, values=values):
            level, a, b = np.exp(logs)
            C = level * np.eye(len(values)) + a * rows @ rows.T + b * columns @ columns.T
            half = np.linalg.cholesky(C)
            ones, v = np.linalg.solve(half, np.ones(len(values))), np.linalg.solve(half, values)
            left = v @ v - (ones @ v) ** 2 / (ones @ ones)
            return 2 * np.log(np.diag(half)).sum() + np.log(ones @ ones) + left

        best = minimize(likelihood, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7})
        model = OffsetModel.estimated(entries, values)
        level, a, b = np.exp(best.x)
        assert model.rows == pytest.approx(level / a, rel=0.01)
        assert model.columns == pytest.approx(level / b, rel=0.01)


def test_a_given_strength_is_not_estimated():
    entries, values, _, _ = sample()
    model = OffsetModel.estimated(entries, values, rows=4.0, columns=None)
    assert (model.rows, model.columns) == (4.0, None)
    assert OffsetModel.estimated(entries, values, rows=4.0).rows == 4.0


def test_without_a_penalty_offsets_come_first_and_the_rest_is_interpolated():
    entries, values, _, _ = sample((12, 10), 60)
    found = fit_with_offsets(entries, values, rows=1.0, columns=1.0, alpha=0.0)
    L, R = found.solution.factors
    predicted = found.offsets.at(entries.rows, entries.cols) + entries.forward_factors(L, R)
    np.testing.assert_allclose(predicted, values, atol=1e-8)
    assert found.solution.certificate.holds
    assert found.offsets.constant == OffsetModel(entries, rows=1.0, columns=1.0).fit(values).constant


def test_data_without_noise_need_no_penalty():
    entries, values, truth, _ = sample((25, 20), 400, 1, 0.0)
    found = fit_with_offsets(entries, values, rows=0.0, columns=0.0, alpha="auto")
    everywhere = np.indices(truth.shape).reshape(2, -1)
    whole = found.solution.matrix + found.offsets.at(*everywhere).reshape(truth.shape)
    assert found.solution.noise.alpha == 0
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(whole[entries.rows, entries.cols], values, atol=1e-6)


def test_predictions_of_other_entries_are_judged_with_the_offsets_beside_them():
    for rows, columns in ((1.0, 2.0), (0.0, 0.0), (None, 3.0)):
        entries, values, _, _ = sample((9, 7), 40, weighted=True)
        known, hidden = entries.take(slice(0, 30)), entries.take(slice(30, 40))
        model, rng = OffsetModel(known, rows=rows, columns=columns), np.random.default_rng(0)
        judge = model.judge(values[:30], hidden, values[30:])
        L, R = rng.standard_normal((9, 2)), rng.standard_normal((7, 2))
        X = L @ R.T
        z = model.fit(values[:30] - X[known.rows, known.cols])
        errors = z.at(hidden.rows, hidden.cols) + X[hidden.rows, hidden.cols] - values[30:]
        np.testing.assert_allclose(judge.residual((L, R)), hidden.weights * errors, atol=1e-12)
        fm.testing.check_measurement(judge.measurement)


def test_joint_fits_are_cross_validated():
    entries, values, _, _ = sample((30, 25), 500, 2, 0.3)
    whole = OffsetModel(entries, rows=1.0, columns=1.0)
    folds = np.arange(500) % 4

    def pair(i, j):
        model = replace(whole, entries=entries.take(i))
        return model.problem(values[i]), model.judge(values[i], entries.take(j), values[j])

    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(4)]
    cv = cross_validate(whole.problem(values), folds=splits, pair=pair, n_alphas=8)
    assert cv.solution.certificate.holds
    assert not cv.at_edge
    assert 0.3**2 < cv.errors[cv.chosen].mean() < 0.6**2


def test_rows_without_observations_have_no_offset():
    entries = fm.measurements.Entries([0, 0, 2], [1, 1, 1], (4, 3))
    for rows in (0.0, 2.0):
        offsets = OffsetModel(entries, rows=rows, columns=1.0).fit([1.0, 2.0, 4.0])
        assert offsets.rows[1] == offsets.rows[3] == offsets.columns[0] == 0
        assert offsets.at([-1, 1], [-1, 0]).tolist() == [offsets.constant, offsets.constant]


@pytest.mark.parametrize("alpha", [0.0, 0.1, "auto"])
@pytest.mark.parametrize("strength", ["auto", 0.0, 10.0])
@pytest.mark.parametrize(
    ("rows", "columns", "values"),
    [([0, 0, 1, 2], [0, 1, 1, 0], [3.3] * 4), ([0], [0], [4.0]), ([0, 1], [0, 1], [0.0, 0.0])],
)
def test_equal_values_leave_nothing_for_a_matrix(rows, columns, values, alpha, strength):
    entries = fm.measurements.Entries(rows, columns, (3, 2))
    found = fit_with_offsets(entries, values, rows=strength, columns=strength, alpha=alpha)
    assert found.solution.rank == 0
    assert found.solution.certificate.holds
    np.testing.assert_allclose(found.offsets.at(rows, columns), values, rtol=1e-12)
    assert found.offsets.at([-1], [-1]) == pytest.approx(values[0])


def test_what_cannot_be_is_refused_in_a_sentence():
    entries = fm.measurements.Entries([0, 1], [0, 1], (2, 2))
    for wrong in (-1.0, np.nan, np.inf, 1e-9, True, "free"):
        with pytest.raises(InputError, match="strength of the offsets of rows"):
            OffsetModel(entries, rows=wrong)
    with pytest.raises(InputError, match="values have shape"):
        OffsetModel(entries).fit([1.0])
    with pytest.raises(InputError, match="largest value is 1e\\+200"):
        OffsetModel.estimated(entries, [1.0, 1e200])
    with pytest.raises(InputError, match="NaN"):
        OffsetModel(entries).problem([1.0, np.nan])
    with pytest.raises(InputError, match="other entries are of a matrix"):
        OffsetModel(entries).judge([1.0, 2.0], fm.measurements.Entries([0], [0], (3, 2)), [1.0])
    with pytest.raises(InputError, match="alpha is 'best'"):
        fit_with_offsets(entries, [1.0, 2.0], alpha="best")


def test_offsets_add_up():
    offsets = Offsets(1.0, np.array([0.5, -0.5]), np.array([0.0, 2.0, 4.0]))
    assert offsets.at([0, 1, -1, 0], [2, -1, 1, 0]).tolist() == [5.5, 0.5, 3.0, 1.5]


def test_the_level_of_noise_has_the_units_of_the_values():
    rng = np.random.default_rng(0)
    pairs = np.column_stack([rng.integers(0, 20, 200), rng.integers(0, 15, 200)])
    y = 3 + rng.standard_normal(20)[pairs[:, 0]] + 0.3 * rng.standard_normal(200)
    one = fm.PairRegressor().fit(pairs, y).noise_
    for unit in (2.0**-290, 2.0**240):
        with np.errstate(invalid="ignore"):  # the level of what is left by the matrix alone, which is not used
            other = fm.PairRegressor().fit(pairs, unit * y).noise_
        np.testing.assert_allclose(
            [other.sigma, other.std_error], unit * np.array([one.sigma, one.std_error]), rtol=1e-6
        )


def test_a_strength_that_would_overflow_is_refused():
    with pytest.raises(fm.errors.InputError, match="alpha is 1e\\+300"):
        fm.MatrixCompletion(1e300).fit([[1.0, 2.0], [3.0, 4.0]])
