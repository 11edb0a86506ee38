"""MatrixMarket: files ``.mtx``, sparse with stored entries as known cells, or dense with NaN in missing cells."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import reason
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells

__all__ = ["FORMAT", "MatrixMarket"]


class MatrixMarket(Document):
    """A sparse or dense real matrix as text.

    Completed and low-rank matrices are written in the array layout, gross errors in the coordinate layout.
    """

    suffixes = (".mtx",)

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a file in either layout, general or symmetric."""
        from scipy.io import mminfo, mmread

        try:
            d1, d2, entries, layout, field, _ = mminfo(path)
            if field in ("pattern", "complex"):
                raise InputError(f"{path} has the field {field!r}, expected real or integer values")
            require(24.0 * (entries if layout == "coordinate" else d1 * d2), f"reading {path.name}")
            found = mmread(path)
        except InputError:
            raise
        except (OSError, ValueError, OverflowError, TypeError) as error:
            raise InputError(f"{path} is not a whole Matrix Market file: {reason(error)}") from error
        if layout == "array":
            return cls(KnownCells.from_matrix(np.asarray(found), path.name))
        if not found.nnz:
            raise InputError(f"{path} has no number, expected at least one stored entry")
        if not np.isfinite(found.data).all():
            k = int(np.flatnonzero(~np.isfinite(found.data))[0])
            place = f"row {found.row[k] + 1}, column {found.col[k] + 1}"
            raise InputError(f"{path} stores {found.data[k]} in {place}, expected a finite number")
        return cls(KnownCells.from_entries(found.row, found.col, found.data, (d1, d2)), sparse=True)

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write the matrix as text, with all digits."""
        return _write(stem, matrix if whole else self.cells.keep(matrix))

    def write_errors(self, stem: Path, errors: Array) -> Path:
        """Write the errors that are not zero."""
        from scipy.sparse import coo_array

        return _write(stem, coo_array(errors))


def _write(stem: Path, matrix: Any) -> Path:
    from scipy.io import mmwrite

    path = stem.with_suffix(".mtx")
    with path.open("wb") as stream:
        mmwrite(stream, matrix, field="real", precision=17, symmetry="general")
    return path


FORMAT = MatrixMarket
