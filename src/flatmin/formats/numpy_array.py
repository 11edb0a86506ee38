"""NumpyArray: files ``.npy`` with NaN in missing cells."""

from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import reason
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells

__all__ = ["FORMAT", "NumpyArray"]


class NumpyArray(Document):
    """One two-dimensional array of real numbers."""

    suffixes = (".npy",)

    def __init__(self, matrix: Array, name: str) -> None:
        super().__init__(KnownCells.from_matrix(matrix, name))
        self._original = matrix

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read the array, without pickle."""
        require(float(path.stat().st_size) * 3, f"reading {path.name}")
        try:
            matrix = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise InputError(f"{path} is not a whole .npy file of numbers: {reason(error)}") from error
        if not isinstance(matrix, np.ndarray):
            raise InputError(f"{path} is an .npz archive, expected a single array; rename it to .npz")
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
