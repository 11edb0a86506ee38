"""Matrix Market files in both layouts."""

import numpy as np
from scipy.io import mmread, mmwrite
from scipy.sparse import coo_array

from flatmin.formats.matrix_market import MatrixMarket

HOLES = np.array([[1.5, np.nan, 0.1], [np.nan, 2.0, 1 / 3]])


def test_coordinate_mtx_knows_its_stored_entries_even_zeros(tmp_path):
    mmwrite(tmp_path / "x.mtx", coo_array(([3.0, 0.0, 5.0], ([1, 0, 0], [0, 2, 1])), shape=(2, 3)))
    document = MatrixMarket.read(tmp_path / "x.mtx")
    np.testing.assert_array_equal(document.cells.dense(), [[np.nan, 5, 0], [3, np.nan, np.nan]])
    written = mmread(document.write(tmp_path / "out", np.full((2, 3), 7.0)))
    np.testing.assert_array_equal(written, [[7, 5, 0], [3, 7, 7]])


def test_array_mtx_misses_nan(tmp_path):
    mmwrite(tmp_path / "x.mtx", HOLES)
    document = MatrixMarket.read(tmp_path / "x.mtx")
    np.testing.assert_allclose(document.cells.dense(), HOLES)
