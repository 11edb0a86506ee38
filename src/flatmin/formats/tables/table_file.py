"""TableFile: the base class of files with a table, which can be written again with some of its cells filled."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.coded_text import CodedColumn

__all__ = ["TableFile", "extra"]


class TableFile(ABC):
    """A file with a table of named columns.

    Attributes
    ----------
    suffixes : tuple of str
        The endings of such files, in lower case.
    bytes_per_byte : float
        The memory that reading needs, in bytes for each byte of the file.
    names : list of str
        The names of the columns, "" for a column without a name.
    n_rows : int
        The number of rows of data.
    index : int or None
        The position of the column that the file itself marks as row labels.
    notes : list of str
        Sentences for the user about how the file was read.
    """

    suffixes: ClassVar[tuple[str, ...]]
    bytes_per_byte: ClassVar[float] = 20.0
    names: list[str]
    n_rows: int
    index: int | None = None
    notes: list[str]

    @classmethod
    @abstractmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read a file, or raise `InputError` with one sentence that names the place of the error."""

    @abstractmethod
    def texts(self, column: int) -> list[str]:
        """Return the cells of a column as text, "" for empty ones."""

    def coded(self, column: int) -> CodedColumn:
        """Return the cells of a column as text, each distinct text stored once."""
        return CodedColumn.from_texts(self.texts(column))

    @abstractmethod
    def number(self, text: str) -> float | None:
        """Return the number in a cell, NaN if it is missing, or None if it is text."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Return where a row of data stands in the file, such as "row 7"."""

    @abstractmethod
    def write(self, stem: Path, filled: Mapping[int, Array]) -> Path:
        """Write the table with some cells filled, and return the path, ``stem`` plus the ending of the file.

        ``filled`` has for some columns, by position, an array (n_rows,) with the numbers to write, and NaN in cells
        that stay unchanged.
        """

    def is_typed(self, column: int) -> bool:
        """Return whether the file stores a column as something else than numbers or text, such as dates."""
        return False


def extra(name: str, package: str, suffix: str) -> InputError:
    """Return the error that a package is missing which files with this ending need."""
    return InputError(f"{suffix} files need the package {package}; install it by pip install 'flatmin[{name}]'")


def trimmed(cells: Sequence[object]) -> int:
    """Return the length of a sequence without the empty cells at its end.

    Examples
    --------
    >>> trimmed(["a", "", "b", "", ""])
    3
    """
    count = len(cells)
    while count and not cells[count - 1]:
        count -= 1
    return count
