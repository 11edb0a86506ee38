"""Archives of arrays with a description."""

import numpy as np
import pytest

from flatmin._core.described_archive import read_described, write_described
from flatmin.errors import InputError


def test_arrays_and_description_come_back(tmp_path):
    write_described(tmp_path / "a.npz", {"x": np.arange(3)}, {"name": "ä", "list": [1, None]}, 7)
    arrays, description = read_described(tmp_path / "a.npz", 7, "a solution")
    np.testing.assert_array_equal(arrays["x"], np.arange(3))
    assert description == {"name": "ä", "list": [1, None]}


def test_files_of_another_kind_or_version_are_refused(tmp_path):
    file = tmp_path / "a.npz"
    write_described(file, {}, {}, 7)
    with pytest.raises(InputError, match=r"a\.npz is not a solution.*it has format version 7, expected 8"):
        read_described(file, 8, "a solution")
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
