"""Leverages of rows and columns, against normal equations, exact leave-one-out fits and the joint tangent space."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._completion.projection import RowModel
from tests.estimators._completion.tables import fitted, noisy

BOTH = Strengths(True, 3.0, 2.0)


@pytest.fixture
def weighted_fit():
    _, table, seen = noisy()
    weights = np.random.default_rng(1).uniform(0.5, 2, int(seen.sum()))
    weights /= weights.mean()
    found = fitted(table, seen, alpha=0.05, strengths=BOTH, weights=weights)
    return found, CellPredictor.from_fit(found), seen, weights


def test_predictions_are_the_fit(weighted_fit):
    found, fit, seen, _ = weighted_fit
    i, j = np.nonzero(np.ones_like(seen))
    exact = (found.factors[0] @ found.factors[1].T)[i, j] + found.offsets.at(i, j)
    np.testing.assert_allclose(fit.at(i, j), exact, atol=1e-4)


def test_leverages_are_the_diagonals_of_dense_ridge_regressions(weighted_fit):
    found, fit, seen, weights = weighted_fit
    W = np.zeros(seen.shape)
    W[seen] = weights
    R, L = found.rows.columns, fit.rows.factors
    h = np.zeros(seen.shape)
    sides = ((W, R, L, fit.rows.model, BOTH.rows), (W.T, L, R, fit.columns, BOTH.columns))
    for turned, (w, F, _, model, kappa) in enumerate(sides):
        F = np.hstack([F, np.ones((len(F), 1))])
        for i in range(len(w)):
            ridge = np.diag([*[model.strength * w[i].sum()] * (F.shape[1] - 1), kappa])
            own = np.diag(F @ np.linalg.inv(F.T * w[i] @ F + ridge) @ F.T)
            h[(slice(None), i) if turned else i] += own
    i, j = np.nonzero(np.ones_like(seen))
    np.testing.assert_allclose(fit.leverages(i, j), h[i, j], rtol=1e-8)


def test_the_penalties_of_both_sides_are_those_of_the_joint_fit(weighted_fit):
    """At the minimum each side solves its own regression, so the column model reproduces R and the column offsets."""
    found, fit, seen, weights = weighted_fit
    i, j = np.nonzero(seen)
    left = found.cells.values - fit.offsets.constant - fit.offsets.rows[i]
    values = csr_array((left, (j, i)), shape=seen.shape[::-1])
    order = np.lexsort((i, j))
    factors, offsets = fit.columns.fit(csr_array(values), weights[order])
    np.testing.assert_allclose(factors, found.rows.columns, atol=1e-4)
    np.testing.assert_allclose(offsets, fit.offsets.columns, atol=1e-4)


def test_a_leverage_is_the_effect_of_a_value_on_its_own_prediction(weighted_fit):
    _, fit, _, weights = weighted_fit
    i, j = fit.rows.positions
    values = fit.rows.values + (np.arange(len(i)) == 7)
    changed = csr_array((values, fit.rows.indices, fit.rows.pointers), shape=(60, 12))
    again = RowFit.from_cells(fit.rows.model, changed, weights)
    effect = (again.at(i, j) - fit.rows.at(i, j))[7]
    assert effect == pytest.approx(weights[7] * fit.rows.leverages(i, j)[7], rel=1e-9)


def test_studentized_residuals_are_those_of_leaving_a_cell_out():
    rng = np.random.default_rng(0)
    model = RowModel(rng.standard_normal((9, 2)), 0.3, 0.0, 1.5)
    values = csr_array(rng.standard_normal((4, 9)))
    rows = RowFit.from_cells(model, values)
    i, j = rows.positions
    for cell in (0, 13, 35):
        kept = np.arange(values.nnz) != cell
        without = RowFit.from_cells(model, csr_array((values.data[kept], (i[kept], j[kept])), shape=values.shape))
        left_out = values.data[cell] - without.at(i[[cell]], j[[cell]])[0]
        residual = values.data[cell] - rows.at(i[[cell]], j[[cell]])[0]
        freedom = 1 - rows.leverages(i[[cell]], j[[cell]])[0]
        assert rows.squares[cell] / freedom == pytest.approx(left_out * residual, rel=1e-9)


def test_the_sum_of_both_sides_approximates_the_joint_variance():
    """Joint least squares on the tangent space of a rank-2 matrix has nearly the variances of the separate sides."""
    _, table, seen = noisy((60, 40), holes=0.4)
    found = fitted(table, seen, wanted=True, strengths=Strengths())
    fit = CellPredictor.from_fit(found)
    L, R = fit.rows.factors, fit.rows.model.columns
    k, i, j = L.shape[1], *np.nonzero(np.ones_like(seen))
    tangent = np.zeros((len(i), (60 + 40) * k))
    for c in range(k):
        tangent[np.arange(len(i)), i * k + c] = R[j, c]
        tangent[np.arange(len(i)), 60 * k + j * k + c] = L[i, c]
    observed = tangent[seen.ravel()]
    joint = np.sum((tangent @ np.linalg.pinv(observed.T @ observed)) * tangent, axis=1)
    ratio = fit.leverages(i, j) / joint
    assert 0.9 < ratio.mean() < 1.1
    assert np.all((ratio > 0.75) & (ratio < 1.3))


def test_rows_without_cells_have_the_variance_of_their_columns_only():
    _, table, seen = noisy()
    found = fitted(table, seen, alpha=0.05)
    fit = CellPredictor.from_fit(found)
    rows = fit.fitted(csr_array((1, 12)))
    i, j = np.zeros(12, int), np.arange(12)
    np.testing.assert_array_equal(fit.at(i, j, rows), fit.offsets.constant + fit.offsets.columns)
    np.testing.assert_array_equal(rows.leverages(i, j), 0.0)


def test_new_rows_equal_the_rows_of_the_fit_with_the_same_cells():
    _, table, seen = noisy()
    fit = CellPredictor.from_fit(fitted(table, seen, alpha=0.05))
    values = csr_array(np.where(seen, table, 0.0)[3:5])
    rows, j = fit.fitted(values), np.arange(12)
    np.testing.assert_allclose(fit.at(j * 0, j, rows), fit.at(j * 0 + 3, j), atol=1e-12)
    np.testing.assert_allclose(fit.leverages(j * 0, j, rows), fit.leverages(j * 0 + 3, j), rtol=1e-9)


def test_variances_with_noise_of_unequal_columns_are_those_of_simulated_regressions():
    rng = np.random.default_rng(0)
    model, noise = RowModel(rng.standard_normal((9, 2)), 0.0, 1.0), rng.uniform(0.2, 3, 9)
    seen = csr_array(np.array([[1.0, 1, 1, 0, 1, 1, 1, 0, 1]]))
    expected = model.covariances(seen, noise)[0]
    draws = np.sqrt(noise) * rng.standard_normal((20000, 9)) * seen.toarray()
    j = np.flatnonzero(seen.toarray()[0])
    found = np.linalg.lstsq(model.columns[j], draws[:, j].T, rcond=None)[0]
    np.testing.assert_allclose(np.cov(found), expected, rtol=0.05, atol=0.01)


def test_equal_noise_gives_the_plain_covariance():
    rng = np.random.default_rng(0)
    model = RowModel(rng.standard_normal((9, 2)), 0.7, 1.0, 2.0)
    seen = csr_array((rng.random((5, 9)) < 0.7).astype(float))
    np.testing.assert_allclose(model.covariances(seen, np.full(9, 4.0)), 4 * model.covariances(seen), rtol=1e-9)


def test_only_a_refit_has_a_weaker_penalty_on_its_columns():
    _, table, seen = noisy()
    penalised = fitted(table, seen, alpha=0.05, wanted=False)
    refitted = fitted(table, seen, alpha=0.05, wanted=True)
    assert (penalised.refits, refitted.refits) == (False, True)
    strengths = [CellPredictor.from_fit(found).columns.strength for found in (penalised, refitted)]
    assert strengths[0] == pytest.approx(100 * strengths[1])
    assert CellPredictor.from_fit(replace(refitted, refits=False)).columns.strength == pytest.approx(strengths[0])


def test_further_rows_keep_the_columns_and_take_their_place():
    _, table, seen = noisy()
    fit = CellPredictor.from_fit(fitted(table, seen, alpha=0.05))
    new = fit.fitted(csr_array(np.where(seen, table, 0.0)[3:5]))
    order = np.random.default_rng(0).permutation(62)
    grown, j = fit.with_rows(new, order, np.full(62, -1)), np.arange(12)
    for row, old in ((7, 7), (60, 3), (61, 4)):
        i = np.full(12, np.flatnonzero(order == row)[0])
        np.testing.assert_allclose(grown.at(i, j), fit.at(j * 0 + old, j), atol=1e-12)
        np.testing.assert_allclose(grown.leverages(i, j), fit.leverages(j * 0 + old, j), rtol=1e-9)
