"""NumPy files: what is kept and what is filled."""

import numpy as np
import pytest

from flatmin.errors import InputError
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


def test_a_whole_new_array_keeps_the_precision(tmp_path):
    np.save(tmp_path / "x.npy", HOLES.astype(np.float32))
    document = NumpyArray.read(tmp_path / "x.npy")
    assert np.load(document.write(tmp_path / "out", np.full((2, 3), 0.1), whole=True)).dtype == np.float32


@pytest.mark.parametrize("shape", ["(3, 3", "(10000000000, 100000000000), }", "(3, 4), }"])
def test_a_damaged_header_is_one_sentence(tmp_path, shape):
    header = (f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}").encode().ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(72))
    with pytest.raises(InputError, match=r"is not a whole \.npy file of numbers"):
        NumpyArray.read(tmp_path / "x.npy")


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path, recwarn):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 3L), }".ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(72))
    assert NumpyArray.read(tmp_path / "x.npy").cells.dense().shape == (3, 3)
    assert not recwarn.list
