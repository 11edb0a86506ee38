import numpy as np
import pytest
from scipy.io import mmread, mmwrite
from scipy.sparse import coo_array

from flatmin import families, formats
from flatmin.formats.base import Document
from flatmin.formats.case import read_case
from flatmin.formats.matrix_market import MatrixMarket
from flatmin.formats.numpy_array import NumpyArray

HOLES = np.array([[1.5, np.nan, 0.1], [np.nan, 2.0, 1 / 3]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_npy_keeps_known_cells_bit_for_bit(tmp_path, dtype):
    np.save(tmp_path / "x.npy", HOLES.astype(dtype))
    document = NumpyArray.read(tmp_path / "x.npy")
    np.testing.assert_array_equal(document.cells.dense(), HOLES.astype(dtype).astype(float))
    written = np.load(document.write(tmp_path / "out", np.full((2, 3), 7.0)))
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, np.where(np.isnan(HOLES), 7, HOLES).astype(dtype))


def test_whole_numbers_in_npy(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    document = NumpyArray.read(tmp_path / "x.npy")
    assert len(document.cells.values) == 6
    assert np.load(document.write(tmp_path / "out", np.zeros((2, 3)))).dtype == int


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


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.mtx", "x.PNG", "x.jpg"])
def test_formats_are_found_by_their_ending(tmp_path, name):
    document = formats.find(tmp_path / name)
    assert issubclass(document, Document)
    assert name[1:].lower() in formats.suffixes()
    assert formats.find(tmp_path / "x.docx") is None


def test_the_same_problem_from_every_format(tmp_path):
    rows, cols = np.nonzero(~np.isnan(HOLES))
    np.savez(tmp_path / "x.npz", rows=rows, cols=cols, values=HOLES[rows, cols], shape=HOLES.shape)
    np.save(tmp_path / "x.npy", HOLES)
    mmwrite(tmp_path / "x.mtx", coo_array((HOLES[rows, cols], (rows, cols)), shape=HOLES.shape), precision=17)
    (tmp_path / "x.csv").write_text("\n".join(",".join(str(v) for v in row) for row in HOLES.tolist()))
    for ending in ("npz", "npy", "mtx", "csv"):
        problem = read_case(families.find("matrix-completion"), tmp_path / f"x.{ending}").problem
        assert problem.shape == (2, 3)
        np.testing.assert_array_equal(problem.data, HOLES[rows, cols])
        np.testing.assert_array_equal(problem.measurement.rows, rows)


def test_both_parts_of_a_matrix_are_written_whole(tmp_path):
    low_rank, errors = np.full((2, 3), 0.25), np.array([[0.0, -2.0, 0.0], [1.0, 0.0, 0.0]])
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    mmwrite(tmp_path / "x.mtx", np.ones((2, 3)))
    for document, read in (
        (NumpyArray.read(tmp_path / "x.npy"), np.load),
        (MatrixMarket.read(tmp_path / "x.mtx"), mmread),
    ):
        np.testing.assert_array_equal(read(document.write(tmp_path / "low-rank", low_rank, whole=True)), low_rank)
        written = read(document.write_errors(tmp_path / "sparse", errors))
        np.testing.assert_array_equal(written if isinstance(written, np.ndarray) else written.toarray(), errors)
    assert "coordinate" in (tmp_path / "sparse.mtx").read_text().splitlines()[0]


def test_a_whole_new_array_keeps_the_precision(tmp_path):
    np.save(tmp_path / "x.npy", HOLES.astype(np.float32))
    document = NumpyArray.read(tmp_path / "x.npy")
    assert np.load(document.write(tmp_path / "out", np.full((2, 3), 0.1), whole=True)).dtype == np.float32
