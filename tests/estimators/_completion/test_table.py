"""Observed cells of dense and sparse tables, and the units of their columns."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin.estimators._completion.table import Units, completed, hidden, holes, in_rows, observed, weighted

TABLE = np.array([[1.0, np.nan, 3.0], [0.0, 5.0, np.nan]])
ROWS, COLUMNS = np.nonzero(~np.isnan(TABLE))
SPARSE = csr_array((TABLE[ROWS, COLUMNS], (ROWS, COLUMNS)), shape=TABLE.shape)


@pytest.mark.parametrize("table", [TABLE, SPARSE])
def test_observed_cells_and_holes(table):
    cells = observed(table)
    assert cells.data.tolist() == [1, 3, 0, 5]
    assert cells.indices.tolist() == [0, 2, 0, 1]
    np.testing.assert_array_equal(holes(table), np.isnan(TABLE))
    np.testing.assert_array_equal(completed(table, np.full((2, 3), 9.0)), np.nan_to_num(TABLE, nan=9.0))


def test_repeated_cells_are_kept_and_cells_without_weight_are_not():
    cells, order = in_rows(np.array([1, 0, 1]), np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0]), (2, 3))
    assert (cells.data.tolist(), order.tolist()) == ([2, 1, 3], [1, 0, 2])
    kept, weights = weighted(cells, np.array([0.0, 2.0, 1.0]))
    assert (kept.data.tolist(), weights.tolist()) == ([1, 3], [2, 1])


def test_a_fifth_is_hidden_always_the_same():
    cells = observed(np.arange(1.0, 101).reshape(10, 10))
    known, (i, j, values) = hidden(cells)
    assert known.nnz + len(values) == 100
    assert 10 <= len(values) <= 30
    np.testing.assert_array_equal(values, 10 * i + j + 1)
    np.testing.assert_array_equal(hidden(cells)[1][2], values)


def test_units_are_mean_and_deviation_and_there_is_a_way_back():
    units = Units.from_cells(observed(TABLE), None, centred=True, scaled=True)
    np.testing.assert_allclose(units.centre, [0.5, 5, 3])
    assert units.scale[0] == pytest.approx(0.5)
    inside = units.cells(observed(TABLE))
    np.testing.assert_allclose(inside.data, [1, 0, -1, 0])
    np.testing.assert_allclose(units.outside(inside.data, inside.indices), [1, 3, 0, 5])
