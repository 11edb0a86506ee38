import numpy as np
import pytest

from flatmin.formats.delimited import plain_number
from flatmin.formats.tables.table_column import ColumnCells, Marks, Role, TableColumn


def read(*texts, marks=()):
    return ColumnCells.read(texts, plain_number, Marks(marks))


def test_cells_are_numbers_holes_or_text():
    cells = read("1", "", "x", "NA", "inf", "-2e0")
    np.testing.assert_equal(cells.values, [1, np.nan, np.nan, np.nan, np.nan, -2])
    assert cells.holes.tolist() == [False, True, False, True, False, False]
    assert cells.others == {2: "x", 4: "inf"}


@pytest.mark.parametrize(
    ("texts", "numeric"),
    [("1 x", True), ("1 x y", False), ("x y", False), ("NA NA 1", True), ("NA NA", False), ("1 2 x y NA", True)],
)
def test_a_column_is_numeric_if_half_of_its_known_cells_are_numbers(texts, numeric):
    assert read(*texts.split()).is_numeric is numeric


def test_a_mark_that_is_a_number_has_several_notations():
    cells = read("-999", "-999.0", "-99", "?", marks=("-999", "?"))
    assert cells.holes.tolist() == [True, True, False, True]
    assert not cells.others


def test_a_column_knows_its_range():
    column = TableColumn("a", Role.fitted, np.array([3.0, np.nan, 1.0]), np.array([False, True, False]))
    assert (column.bounds, column.n_holes) == ((1.0, 3.0), 1)
