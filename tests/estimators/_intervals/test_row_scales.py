"""The relative noise of rows."""

import numpy as np
from scipy.sparse import csr_array

from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._intervals.row_scales import RowScales
from flatmin.solvers.offsets.offsets import Offsets


def fit_with(noise, scales=1.0, n=400, d=25, seed=0):
    rng = np.random.default_rng(seed)
    model = RowModel(rng.standard_normal((d, 2)), 0.0, 1.0)
    noise = noise[:, None] * scales * rng.standard_normal((n, d))
    return predictor(model, rng.standard_normal((n, 2)) @ model.columns.T + noise)


def predictor(model, table):
    rows = RowFit.from_cells(model, csr_array(table))
    offsets = Offsets(0.0, *(np.zeros(d) for d in table.shape))
    return CellPredictor(offsets, rows, RowModel(rows.factors, 0.0, 1.0), rows)


def test_rows_of_unequal_noise_are_told_apart():
    noise = np.repeat([0.5, 1.5], 200)
    fit = fit_with(noise)
    found = RowScales.from_fit(fit).of(fit)
    np.testing.assert_allclose([found[:200].mean(), found[200:].mean()], [0.2, 1.8], atol=0.2)


def test_rows_of_equal_noise_hardly_differ():
    fit = fit_with(np.ones(400))
    assert RowScales.from_fit(fit).of(fit).std() < 0.15


def test_every_column_counts_whatever_its_noise():
    """Rows whose noise differs in the quiet columns only are told apart."""
    noise = np.where(np.arange(25) < 20, 0.3, 3.0) * np.ones((400, 1))
    noise[:200, :20] *= 2
    fit = fit_with(np.ones(400), scales=noise)
    found = RowScales.from_fit(fit).of(fit)
    assert found[:200].mean() > 1.3 * found[200:].mean()


def test_a_row_without_cells_is_like_the_average_one():
    fit = fit_with(np.repeat([0.5, 1.5], 200))
    empty = RowFit.from_cells(fit.rows.model, csr_array((2, 25)))
    np.testing.assert_array_equal(RowScales.from_fit(fit).of(fit, empty), 1.0)


def test_rows_without_errors_have_equal_scales():
    fit = predictor(RowModel(np.ones((3, 1)), 0.0, 1.0), np.ones((4, 3)))
    np.testing.assert_allclose(RowScales.from_fit(fit).of(fit), 1.0)


def test_cells_without_noise_do_not_count():
    """One column is a combination of the factors, so that all of its residuals are 0."""
    fit = fit_with(np.ones(400), scales=np.append(np.ones(24), 0.0))
    found = RowScales(np.append(np.ones(24), 0.0), 1.0, 3.0)
    squares = fit.studentized_squares().reshape(400, 25)[:, :24]
    np.testing.assert_allclose(found.of(fit), (3 + squares.sum(axis=1)) / 27)
