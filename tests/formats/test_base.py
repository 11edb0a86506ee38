"""Known cells of a matrix, and checks of files."""

import os

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats import KnownCells, find
from flatmin.formats.base import check_file
from tests.systems import needs_posix

MATRIX = np.array([[1.0, np.nan], [np.nan, 4.0]])


def test_cells_are_the_entries_that_are_not_nan():
    cells = KnownCells.from_matrix(MATRIX, "x")
    assert (cells.rows.tolist(), cells.cols.tolist(), cells.values.tolist()) == ([0, 1], [0, 1], [1, 4])
    np.testing.assert_array_equal(cells.dense(), MATRIX)
    np.testing.assert_array_equal(cells.keep(np.full((2, 2), 7.0)), [[1, 7], [7, 4]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["a"]]), "expected real numbers"),
        (np.ones(3), "expected a matrix"),
        (np.array([[1.0, np.inf]]), "infinity in row 1, column 2"),
        (np.full((2, 2), np.nan), "x has no number, expected at least one known cell"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        KnownCells.from_matrix(array, "x")


def test_files_are_checked(tmp_path):
    (tmp_path / "empty").touch()
    for path, message in (
        (tmp_path, "is a directory"),
        (tmp_path / "no", "does not exist"),
        (tmp_path / "empty", "is empty"),
    ):
        with pytest.raises(InputError, match=message):
            check_file(path)


@needs_posix
def test_pipes_and_impossible_names_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(InputError, match="is a pipe or a device, expected a file"):
        check_file(tmp_path / "x.csv")
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        check_file(tmp_path / f"{'x' * 300}.csv")
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        find(tmp_path / f"{'x' * 300}.csv")
    with pytest.raises(InputError, match=r"cannot be read: .*embedded null"):
        check_file(tmp_path / "x\0.csv")
