"""Matrix Market files in both layouts."""

import numpy as np
import pytest
from scipy.io import mmread, mmwrite
from scipy.sparse import coo_array

from flatmin.errors import InputError
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


HEAD = "%%MatrixMarket matrix coordinate real general\n"


def read(folder, text):
    (folder / "x.mtx").write_bytes(text if isinstance(text, bytes) else text.encode())
    return MatrixMarket.read(folder / "x.mtx").cells


@pytest.mark.parametrize("end", ["", " ", "\n", "  \n\n", "\r\n", "\t"])
def test_a_file_may_end_with_any_white_space(tmp_path, end):
    """SciPy's reader crashes if a blank stands behind the last value and no line ends there."""
    cells = read(tmp_path, HEAD + "% a comment\n\n2 2 2\n1 1 1.5\n\n2 2 2.5" + end)
    np.testing.assert_array_equal(cells.dense(), [[1.5, np.nan], [np.nan, 2.5]])


@pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
@pytest.mark.parametrize("layout", ["coordinate", "array"])
@pytest.mark.parametrize("kind", [float, int, np.uint16])
def test_all_kinds_of_files_are_read_as_scipy_reads_them(tmp_path, symmetry, layout, kind):
    base = np.random.default_rng(0).integers(1, 9, (4, 4)).astype(float) / (3 if kind is float else 1)
    matrix = {"general": base, "symmetric": base + base.T, "skew-symmetric": base - base.T}[symmetry]
    if kind is not np.uint16 or symmetry != "skew-symmetric":
        matrix = matrix.astype(kind)
    with (tmp_path / "x.mtx").open("wb") as stream:
        mmwrite(stream, coo_array(matrix) if layout == "coordinate" else matrix, symmetry=symmetry, precision=17)
    expected = mmread(tmp_path / "x.mtx")
    expected = expected if layout == "array" else expected.toarray()
    np.testing.assert_array_equal(np.nan_to_num(MatrixMarket.read(tmp_path / "x.mtx").cells.dense()), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 1.5\n",
            "stores 1.5, but has the field 'integer'",
        ),
        (HEAD + "2 2 2\n1 1 1.5\n2 2 2.5 end", "line 4 has '2 2 2.5 end', expected a row, a column and a value"),
        (HEAD + "2 2 2\n1 1\n1.5 2 2 2.5\n", "line 3 has '1 1'"),
        (HEAD + "2 2 1\n1 1 1_0\n", "line 3 has '1 1 1_0'"),
        (HEAD + "2 2 1\n1 1 0x1p3\n", "line 3 has '1 1 0x1p3'"),
        (HEAD.encode() + b"2 2 1\n1 1 1\0\n", "line 3 has"),
        (HEAD + "2 2 2\n1 1 1.5\n    ", "has 1 entries, expected 2 as its line 2 says"),
        (HEAD + "2 2 1\n1 1 1.5\n1 2 1.5\n", "has 2 entries, expected 1"),
        (HEAD + "2 2 2\n        \n", "has 0 entries, expected 2"),
        (HEAD + "2 2 0\n", "has no number"),
        (HEAD + "2 2 1\n3 1 1.5\n", "an entry in row 3, expected 1 to 2"),
        (HEAD + "2 2 1\n1 0 1.5\n", "an entry in column 0, expected 1 to 2"),
        (HEAD + "2 2 1\n1 1.5 1.5\n", "an entry in column 1.5"),
        (HEAD + "2 2 1\nnan 1 1.5\n", "an entry in row nan"),
        (HEAD + "2 2 1\n1 1 inf\n", "stores inf in row 1, column 1"),
        (HEAD + "2 2 999999999999\n1 1 1\n", "promises 999999999999 entries"),
        (HEAD + f"2 2 {'9' * 5000}\n1 1 1\n", "no sizes"),
        (HEAD + "2 -2 1\n1 1 1\n", "no sizes"),
        (HEAD + "2 2\n1 1 1\n", "expected the numbers of rows, columns and entries"),
        (HEAD + "99999999999 2 1\n1 1 1\n", "at most 2147483647"),
        (HEAD, "ends before the sizes"),
        (HEAD.replace("real", "complex") + "1 1 1\n1 1 1 1\n", "'complex' in its first line, expected real or integer"),
        (HEAD.replace("general", "symmetric") + "2 3 1\n1 1 1\n", "expected equal numbers"),
        ("%%MatrixMarket vector\n1\n", "no head of a matrix"),
        ("%%MatrixMarket matrix array real general\n99999 99999\n1\n", "promises 9999800001 entries"),
        ("%%MatrixMarket matrix array real general\n2 1\n1 2\n", "line 3 has '1 2', expected one number"),
    ],
)
def test_every_fault_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)
