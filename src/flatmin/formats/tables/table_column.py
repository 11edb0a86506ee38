"""TableColumn: a column of a table with its role, and the reading of its cells as numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.formats.coded_text import CodedColumn
from flatmin.formats.delimited import plain_number

__all__ = ["ColumnCells", "Marks", "Role", "TableColumn"]


class Role(Enum):
    """What is done with a column: its missing cells are filled, it names the rows, or it is left as it is."""

    fitted = "fitted"
    index = "index"
    carried = "carried"
    ignored = "ignored"


@dataclass(frozen=True)
class Marks:
    """Texts that mark missing cells, in addition to those that every table may have.

    A mark that is a number also stands for the same number in another notation, such as -999.0 for -999.
    """

    texts: tuple[str, ...] = ()

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (text in self.texts or plain_number(text) in self._numbers)

    @property
    def _numbers(self) -> set[float]:
        return {number for number in map(plain_number, self.texts) if number is not None}


@dataclass(frozen=True, eq=False)
class ColumnCells:
    """The cells of a column: numbers (n,) with NaN in other cells, which cells are missing (n,), and texts.

    ``is_text`` says for every distinct text of the ``column`` whether it is neither a number nor a missing cell.
    """

    values: Array
    holes: Array
    column: CodedColumn
    is_text: Array

    @classmethod
    def read(cls, texts: Iterable[str], number: Callable[[str], float | None], marks: Marks) -> Self:
        """Read texts. ``number`` returns NaN for a missing cell and None for text. Infinity counts as text."""
        return cls.coded(CodedColumn.from_texts(texts), number, marks)

    @classmethod
    def coded(cls, column: CodedColumn, number: Callable[[str], float | None], marks: Marks) -> Self:
        """Read the texts of a column, as `read` does."""
        found = [float("nan") if text in marks else number(text) for text in column.distinct]
        is_text = np.array([value is None or np.isinf(value) for value in found], bool)
        numbers = np.array([np.nan if text else value for text, value in zip(is_text, found, strict=True)], float)
        holes = np.isnan(numbers) & ~is_text
        return cls(numbers[column.codes], holes[column.codes], column, is_text)

    @cached_property
    def others(self) -> dict[int, str]:
        """The cells of text, by row."""
        codes = self.column.codes
        return {int(i): self.column.distinct[codes[i]] for i in np.flatnonzero(self.is_text[codes])}

    @property
    def n_texts(self) -> int:
        """The number of cells of text."""
        return int(self.column.counts[self.is_text].sum())

    @property
    def is_numeric(self) -> bool:
        """Whether at least half of the cells that are not missing are numbers, and at least one is."""
        numbers = len(self.values) - int(self.holes.sum()) - self.n_texts
        return numbers > 0 and numbers >= self.n_texts

    @property
    def commonest(self) -> list[str]:
        """The distinct texts, the most frequent first."""
        counts = np.where(self.is_text, self.column.counts, 0)
        return [self.column.distinct[code] for code in np.argsort(-counts, kind="stable") if counts[code]]


@dataclass(frozen=True, eq=False)
class TableColumn:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its name, different from those of all other columns.
    role : Role
        What is done with it.
    values : ndarray, shape (n,)
        Its numbers, with NaN in missing cells and in cells with text.
    holes : ndarray of bool, shape (n,)
        Which cells are missing.
    is_whole : bool
        Whether all numbers are whole numbers.
    reason : str
        Why the column is not fitted, "" for a fitted one.
    """

    name: str
    role: Role
    values: Array
    holes: Array
    is_whole: bool = False
    reason: str = ""

    @property
    def n_holes(self) -> int:
        """The number of missing cells."""
        return int(self.holes.sum())

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest number."""
        return float(np.nanmin(self.values)), float(np.nanmax(self.values))
