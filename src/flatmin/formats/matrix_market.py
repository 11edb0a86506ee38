"""MatrixMarket: files ``.mtx``, sparse with stored entries as known cells, or dense with NaN in missing cells.

The text is checked and read here, not by SciPy: its compiled reader can crash on damaged files, and it cuts the
fractions of numbers off if the head of the file promises integers.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import matrix_shape
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells, check_file

__all__ = ["FORMAT", "MatrixMarket"]

#: Words of the head for the layout, the field and the symmetry of a matrix that can be read.
WORDS = (("coordinate", "array"), ("real", "integer", "unsigned-integer"), ("general", "symmetric", "skew-symmetric"))
#: Characters of numbers, of NaN and infinity in any spelling, and white space.
NUMERIC = b"0123456789+-.eEnNaAiIfFtTyY \t\r\n"
#: Longest line above the entries, and longest text of a number of rows, columns or entries, in characters.
LONGEST_LINE, LONGEST_SIZE = 4096, 18


@dataclass(frozen=True)
class _Head:
    """The lines of a file above its entries: what it promises, and the number of the last one of these lines."""

    layout: str
    field: str
    symmetry: str
    shape: tuple[int, int]
    #: Number of lines with an entry.
    count: int
    line: int

    @classmethod
    def read(cls, stream: IO[bytes], path: Path) -> Self:
        """Read the lines up to the one with the sizes."""
        words = stream.readline(LONGEST_LINE).decode("latin-1").lower().split()
        if words[:2] != ["%%matrixmarket", "matrix"] or len(words) != 5:
            raise InputError(f"{path} is not a whole Matrix Market file: its first line is no head of a matrix")
        layout, field, symmetry = words[2:]
        for word, known in zip(words[2:], WORDS, strict=True):
            if word not in known:
                raise InputError(f"{path} has {word[:20]!r} in its first line, expected {' or '.join(known)}")
        number, sizes = 1, list[bytes]()
        while not sizes or sizes[0].startswith(b"%"):
            text = stream.readline(LONGEST_LINE)
            number, sizes = number + 1, text.split()
            if not text:
                raise InputError(f"{path} is not a whole Matrix Market file: it ends before the sizes of the matrix")
        if len(sizes) != (3 if layout == "coordinate" else 2) or not all(
            size.isdigit() and len(size) <= LONGEST_SIZE for size in sizes
        ):
            expected = "rows, columns and entries" if layout == "coordinate" else "rows and columns"
            raise InputError(f"{path}, line {number} has no sizes of a matrix, expected the numbers of {expected}")
        d1, d2, *entries = map(int, sizes)
        shape = matrix_shape((d1, d2))
        if symmetry != "general" and d1 != d2:
            raise InputError(f"{path} has {d1} rows and {d2} columns, expected equal numbers in a {symmetry} matrix")
        half = {"symmetric": d1 * (d1 + 1) // 2, "skew-symmetric": d1 * (d1 - 1) // 2}
        count = entries[0] if entries else half.get(symmetry, d1 * d2)
        return cls(layout, field, symmetry, shape, count, number)


class MatrixMarket(Document):
    """A sparse or dense real matrix as text.

    Completed and low-rank matrices are written in the array layout, gross errors in the coordinate layout.
    """

    suffixes = (".mtx",)

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a file in either layout, general or symmetric."""
        check_file(path)
        with path.open("rb") as stream:
            head = _Head.read(stream, path)
            size = float(path.stat().st_size)
            width = 3 if head.layout == "coordinate" else 1
            if head.count * 2 * width - 1 > size:  # each number needs a digit and a blank
                raise InputError(f"{path} is not a whole Matrix Market file: it promises {head.count} entries")
            require(2 * size + 64.0 * head.count, f"reading {path.name}")
            table = _entries(stream.read(), width, head, path)
        if head.layout == "array":
            return cls(KnownCells.from_matrix(_dense(table[:, 0], head), path.name))
        if not head.count:
            raise InputError(f"{path} has no number, expected at least one stored entry")
        return cls(_cells(table, head, path), sparse=True)

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write the matrix as text, with all digits."""
        return _write(stem, matrix if whole else self.cells.keep(matrix))

    def write_errors(self, stem: Path, errors: Array) -> Path:
        """Write the errors that are not zero."""
        from scipy.sparse import coo_array

        return _write(stem, coo_array(errors))


def _entries(text: bytes, width: int, head: _Head, path: Path) -> Array:
    """Return the numbers of all lines with an entry (n, width)."""
    if text.translate(None, NUMERIC):
        raise _fault(text, width, head, path)
    if not text.strip():
        table = np.zeros((0, width))
    else:
        try:
            table = np.loadtxt(io.BytesIO(text), comments=None, ndmin=2)
        except ValueError as error:
            raise _fault(text, width, head, path) from error
    if len(table) and table.shape[1] != width:
        raise _fault(text, width, head, path)
    if len(table) != head.count:
        raise InputError(f"{path} has {len(table)} entries, expected {head.count} as its line {head.line} says")
    fraction = np.flatnonzero(np.isfinite(table[:, -1]) & (table[:, -1] != np.rint(table[:, -1])))
    if head.field != "real" and len(fraction):
        found = table[fraction[0], -1]
        raise InputError(f"{path} stores {found}, but has the field {head.field!r}; write 'real' in its first line")
    return table


def _fault(text: bytes, width: int, head: _Head, path: Path) -> InputError:
    """Return the error for the first line that is no entry."""
    for number, line in enumerate(io.BytesIO(text), start=head.line + 1):
        words = line.split()
        if words and not (len(words) == width and all(map(_is_number, words))):
            found = line[:40].decode("latin-1").strip()
            expected = "a row, a column and a value" if width == 3 else "one number"
            return InputError(f"{path}, line {number} has {found!r}, expected {expected}")
    return InputError(f"{path} is not a whole Matrix Market file: one of its lines is no entry")


def _is_number(word: bytes) -> bool:
    try:
        return not word.translate(None, NUMERIC) and isinstance(float(word), float)
    except ValueError:
        return False


def _dense(values: Array, head: _Head) -> Array:
    """Return the matrix of values that are stored column by column, or those of its lower triangle."""
    if head.symmetry == "general":
        return values.reshape(head.shape, order="F")
    matrix, sign = np.zeros(head.shape), -1.0 if head.symmetry == "skew-symmetric" else 1.0
    cols, rows = np.triu_indices(head.shape[0], int(sign < 0))
    matrix[cols, rows], matrix[rows, cols] = sign * values, values
    return matrix


def _cells(table: Array, head: _Head, path: Path) -> KnownCells:
    """Return the stored entries, and their mirror images in a symmetric matrix."""
    for name, index, bound in zip(("row", "column"), table.T, head.shape, strict=False):
        if wrong := np.flatnonzero(~((index >= 1) & (index <= bound) & (index == np.rint(index)))).tolist():
            raise InputError(f"{path} stores an entry in {name} {index[wrong[0]]:g}, expected 1 to {bound}")
    rows, cols = (table[:, :2].T - 1).astype(np.int64)
    values = table[:, 2]
    if wrong := np.flatnonzero(~np.isfinite(values)).tolist():
        place = f"row {rows[wrong[0]] + 1}, column {cols[wrong[0]] + 1}"
        raise InputError(f"{path} stores {values[wrong[0]]} in {place}, expected a finite number")
    if head.symmetry != "general":
        off, sign = rows != cols, -1.0 if head.symmetry == "skew-symmetric" else 1.0
        rows, cols = np.r_[rows, cols[off]], np.r_[cols, rows[off]]
        values = np.r_[values, sign * values[off]]
    return KnownCells.from_entries(rows, cols, values, head.shape)


def _write(stem: Path, matrix: Any) -> Path:
    from scipy.io import mmwrite

    path = stem.with_suffix(".mtx")
    with path.open("wb") as stream:
        mmwrite(stream, matrix, field="real", precision=17, symmetry="general")
    return path


FORMAT = MatrixMarket
