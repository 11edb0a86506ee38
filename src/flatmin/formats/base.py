"""Document: the base class of file formats; KnownCells: the known cells of a matrix."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError

__all__ = ["Document", "KnownCells", "check_file"]


@dataclass(frozen=True, eq=False)
class KnownCells:
    """The known cells of a matrix: row and column indices, which start at 0, values (m,), and the shape (d1, d2).

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin.formats import KnownCells
    >>> cells = KnownCells.from_matrix(np.array([[1.0, np.nan], [3.0, 4.0]]), "the table")
    >>> cells.rows, cells.cols, cells.values
    (array([0, 1, 1]), array([0, 0, 1]), array([1., 3., 4.]))
    >>> cells.keep(np.zeros((2, 2)))
    array([[1., 0.],
           [3., 4.]])
    """

    rows: Array
    cols: Array
    values: Array
    shape: tuple[int, int]

    @classmethod
    def from_matrix(cls, matrix: Array, name: str) -> Self:
        """Return the cells of a matrix that are not NaN, in row-major order.

        An array that is not a real matrix, contains infinity, or contains only NaN raises `InputError`.
        """
        if matrix.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {matrix.dtype} values, expected real numbers")
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise InputError(f"{name} has shape {matrix.shape}, expected a matrix with at least one row and one column")
        d1, d2 = matrix.shape
        matrix = matrix.astype(float, copy=False)
        infinite = np.argwhere(np.isinf(matrix))
        if len(infinite):
            i, j = infinite[0]
            raise InputError(
                f"{name} contains infinity in row {i + 1}, column {j + 1}, expected a finite number or NaN"
            )
        rows, cols = np.nonzero(~np.isnan(matrix))
        if not len(rows):
            raise InputError(f"{name} has no number, expected at least one known cell")
        return cls(rows, cols, numeric(matrix[rows, cols], name), (d1, d2))

    @classmethod
    def from_entries(cls, rows: Array, cols: Array, values: Array, shape: tuple[int, int]) -> Self:
        """Return cells in any order as cells in row-major order."""
        order = np.lexsort((cols, rows))
        return cls(rows[order].astype(np.int64), cols[order].astype(np.int64), values[order].astype(float), shape)

    def dense(self) -> Array:
        """Return the matrix with NaN in unknown cells."""
        return self.keep(np.full(self.shape, np.nan))

    def keep(self, matrix: Array) -> Array:
        """Return a copy of ``matrix`` with the known cells unchanged."""
        out = np.array(matrix, dtype=float)
        out[self.rows, self.cols] = self.values
        return out


class Document(ABC):
    """A file with a matrix that may have missing cells; it can be written again with all cells filled.

    A new format is one file in this package with a subclass and the line ``FORMAT = TheSubclass``.

    Attributes
    ----------
    suffixes : tuple of str
        The endings of such files, in lower case, with the dot.
    kind : str
        The view in a report: "matrix", "table", "image" or "frames".
    is_folder, takes_mask : bool
        Whether the document is a folder of files, and whether a mask image can define its known cells.
    cells : KnownCells
        The known cells.
    row_labels, column_labels : list of str, or None
        Names of rows and columns.
    sparse : bool
        Whether the file stores known cells only. The completed matrix may then be too large to write.
    notes : list of str
        Sentences for the user about how the file was read.
    """

    suffixes: ClassVar[tuple[str, ...]]
    kind: ClassVar[str] = "matrix"
    is_folder: ClassVar[bool] = False
    takes_mask: ClassVar[bool] = False

    def __init__(self, cells: KnownCells, *, sparse: bool = False, notes: Iterable[str] = ()) -> None:
        self.cells = cells
        self.row_labels: list[str] | None = None
        self.column_labels: list[str] | None = None
        self.sparse = sparse
        self.notes = list(notes)

    @classmethod
    @abstractmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a file, or raise `InputError` with one sentence that names the place of the error."""

    @abstractmethod
    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write a matrix (d1, d2) in the format of the file and return the path, ``stem`` plus an ending.

        Known cells stay unchanged unless ``whole`` is set.
        """

    def write_errors(self, stem: Path, errors: Array) -> Path:
        """Write the gross errors (d1, d2) and return the path. Pictures show sizes from 0 (black) to 1 (white)."""
        return self.write(stem, np.abs(errors) if self.takes_mask else errors, whole=True)

    def picture(self, matrix: Array) -> Array | None:
        """Return the matrix as a picture (h, w) or (h, w, channels) from 0 to 1, or None for other files."""
        return None


def check_file(path: Path, role: str = "the input") -> None:
    """Raise `InputError` unless ``path`` is a readable file that is not empty. Pipes and devices are refused."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{role} {path} is a directory, expected a file")
        if not stat.S_ISREG(mode):
            raise InputError(f"{role} {path} is a pipe or a device, expected a file; save its content first")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{role} {path} is empty")
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{role} {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{role} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
