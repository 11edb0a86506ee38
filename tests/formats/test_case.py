"""The same problem from files of every format."""

import numpy as np
import pytest
from scipy.io import mmread, mmwrite
from scipy.sparse import coo_array

from flatmin import InputError, families, formats
from flatmin.formats.base import Document
from flatmin.formats.case import read_case
from flatmin.formats.matrix_market import MatrixMarket
from flatmin.formats.numpy_array import NumpyArray

HOLES = np.array([[1.5, np.nan, 0.1], [np.nan, 2.0, 1 / 3]])


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


@pytest.mark.parametrize("name", ["covariance", "phase-retrieval", "matrix-sensing"])
def test_a_truth_whose_squares_overflow_is_refused(name, tmp_path):
    family = families.find(name)
    instance = family.sample((4, 4), 1, 24, seed=0)
    truth = np.array(instance.truth)
    truth.flat[0] = 1.7e308
    np.savez(tmp_path / "p.npz", **family.arrays(instance.problem), truth=truth)
    with pytest.raises(InputError, match=r"'truth' has a number of the size 1\.7e\+308, expected at most 1e\+150"):
        read_case(family, tmp_path / "p.npz")
