"""The relative noise of rows."""

import numpy as np
from scipy.sparse import csr_array

from flatmin.estimators._completion.predictor import RowFit
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._intervals.row_scales import RowScales


def rows_with(noise, n=400, d=25, seed=0):
    rng = np.random.default_rng(seed)
    model = RowModel(rng.standard_normal((d, 2)), 0.0, 1.0)
    table = rng.standard_normal((n, 2)) @ model.columns.T + noise[:, None] * rng.standard_normal((n, d))
    return RowFit.from_cells(model, csr_array(table))


def test_rows_of_unequal_noise_are_told_apart():
    noise = np.repeat([0.5, 1.5], 200)
    rows = rows_with(noise)
    found = RowScales.from_rows(rows, np.ones(25)).of(rows, np.ones(25))
    np.testing.assert_allclose([found[:200].mean(), found[200:].mean()], [0.2, 1.8], atol=0.2)


def test_rows_of_equal_noise_hardly_differ_whatever_the_columns():
    rows, variances = rows_with(np.ones(400)), np.random.default_rng(0).uniform(1, 1.001, 25)
    found = RowScales.from_rows(rows, variances)
    assert 0.9 < found.level < 1.1
    assert found.of(rows, variances).std() < 0.15


def test_a_row_without_cells_is_like_the_average_one():
    rows = rows_with(np.repeat([0.5, 1.5], 200))
    empty = RowFit.from_cells(rows.model, csr_array((2, 25)))
    np.testing.assert_array_equal(RowScales.from_rows(rows, np.ones(25)).of(empty, np.ones(25)), 1.0)


def test_rows_without_errors_have_equal_scales():
    rows = RowFit.from_cells(RowModel(np.ones((3, 1)), 0.0, 1.0), csr_array(np.ones((4, 3))))
    np.testing.assert_allclose(RowScales.from_rows(rows, np.ones(3)).of(rows, np.ones(3)), 1.0)
