"""NumpyArray: files ``.npy`` with NaN in missing cells."""

from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin._core.stored_arrays import read_array
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells

__all__ = ["FORMAT", "NumpyArray"]

#: The first bytes of a zip file.
ZIP = b"PK\x03\x04"


class NumpyArray(Document):
    """One two-dimensional array of real numbers."""

    suffixes = (".npy",)

    def __init__(self, matrix: Array, name: str) -> None:
        super().__init__(KnownCells.from_matrix(matrix, name))
        self._original = matrix

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read the array, without pickle."""
        size = path.stat().st_size
        require(3.0 * size, f"reading {path.name}")
        with refused_if_damaged(f"{path} is not a whole .npy file of numbers"), path.open("rb") as stream:
            if stream.read(4) == ZIP:
                raise InputError(f"{path} is an .npz archive, expected a single array; rename it to .npz")
            stream.seek(0)
            matrix = read_array(stream, size)
        return cls(matrix, path.name)

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write the array in its own type with known cells unchanged. If ``whole``, integers become float."""
        path = stem.with_suffix(".npy")
        filled = np.array(self._original)
        if whole:
            filled = np.asarray(matrix, dtype=filled.dtype if filled.dtype.kind == "f" else float)
        elif filled.dtype.kind == "f":
            holes = np.isnan(filled)
            filled[holes] = matrix[holes]
        np.save(path, filled, allow_pickle=False)
        return path


FORMAT = NumpyArray
