"""Arrays in NumPy's format: what a damaged or hostile header leads to."""

import io
import zipfile

import numpy as np
import pytest

from flatmin._core.stored_arrays import read_array, read_described, read_entry, stored_arrays, write_described
from flatmin.errors import InputError


def npy(header, numbers=b"\0" * 72, version=b"\x01\x00"):
    """Return the bytes of a file with this header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + numbers


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "array", [np.arange(6.0), np.arange(6, dtype=">i4").reshape(2, 3), np.zeros((0, 3)), np.array(2j)]
)
def test_arrays_come_back(array, order):
    stream = io.BytesIO()
    np.save(stream, np.asarray(array, order=order))
    stream.seek(0)
    found = read_array(stream, len(stream.getvalue()))
    assert found.dtype == array.dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 100000000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -3), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 3), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1e400, 3), }",
        "[" * 100,
        "__import__('os').system('true')",
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused(header):
    """Of many kinds of errors, as NumPy raises them; readers of files turn all of them into one sentence."""
    content = npy(header)
    with pytest.raises(Exception):  # noqa: B017, PT011
        read_array(io.BytesIO(content), len(content))


def test_a_header_of_another_version_is_refused():
    content = npy("{}", version=b"\x03\x00")
    with pytest.raises(ValueError, match=r"version 3\.0"):
        read_array(io.BytesIO(content), len(content))


def test_an_archive_that_promises_more_than_it_can_hold_is_refused_by_its_directory(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(100_000))
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    place = raw.rindex(b"PK\x01\x02")
    raw[place + 24 : place + 28] = (4_000_000_000).to_bytes(4, "little")
    (tmp_path / "b.npz").write_bytes(raw)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(read_entry(archive, stored_arrays(archive)["x"]), np.zeros(100_000))
    with zipfile.ZipFile(tmp_path / "b.npz") as archive, pytest.raises(ValueError, match="promises 4000000000 bytes"):
        stored_arrays(archive)
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", bytes(10**6))
    with zipfile.ZipFile(tmp_path / "c.npz") as archive, pytest.raises(ValueError, match="unusual compression"):
        stored_arrays(archive)


def test_arrays_and_description_come_back(tmp_path):
    write_described(tmp_path / "a.npz", {"x": np.arange(3)}, {"name": "ä", "list": [1, None]}, 7)
    arrays, description = read_described(tmp_path / "a.npz", 7, "a solution")
    np.testing.assert_array_equal(arrays["x"], np.arange(3))
    assert description == {"name": "ä", "list": [1, None]}


def test_files_of_another_kind_or_version_are_refused(tmp_path):
    file = tmp_path / "a.npz"
    write_described(file, {}, {}, 7)
    assert read_described(file, 8, "a solution")[1] == {}
    with pytest.raises(InputError, match=r"a\.npz has format version 7, newer than 6, the newest that is read here"):
        read_described(file, 6, "a solution")
    np.savez(file, description="{}")
    with pytest.raises(InputError, match="'format_version' is missing"):
        read_described(file, 7, "a solution")
    np.savez(file, format_version=7)
    with pytest.raises(InputError, match="'description' is missing"):
        read_described(file, 7, "a solution")
    np.savez(file, format_version=7, description="[1]")
    with pytest.raises(InputError, match="is not a solution"):
        read_described(file, 7, "a solution")
    file.write_text("text")
    with pytest.raises(InputError, match="cannot be read as a solution"):
        read_described(file, 7, "a solution")
    with pytest.raises(InputError, match="cannot be written"):
        write_described(tmp_path / "nowhere" / "a.npz", {}, {}, 7)
