"""TableColumn: a column of a table with its role, and the reading of its cells as numbers."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from flatmin._core.arrays import Array
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
    """The cells of a column: numbers (n,) with NaN in other cells, which cells are missing (n,), and texts by row."""

    values: Array
    holes: Array
    others: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, texts: Sequence[str], number: Callable[[str], float | None], marks: Marks) -> "ColumnCells":
        """Read texts. ``number`` returns NaN for a missing cell and None for text. Infinity counts as text."""
        known: dict[str, float | None] = {}
        for text in set(texts):
            value = float("nan") if text in marks else number(text)
            known[text] = None if value is not None and np.isinf(value) else value
        others = {i: text for i, text in enumerate(texts) if known[text] is None}
        values = np.array([np.nan if (v := known[text]) is None else v for text in texts], dtype=float)
        holes = np.isnan(values)
        holes[list(others)] = False
        return cls(values, holes, others)

    @property
    def is_numeric(self) -> bool:
        """Whether at least half of the cells that are not missing are numbers, and at least one is."""
        numbers = len(self.values) - int(self.holes.sum()) - len(self.others)
        return numbers > 0 and numbers >= len(self.others)

    @property
    def commonest(self) -> list[str]:
        """The distinct texts, the most frequent first."""
        return [text for text, _ in Counter(self.others.values()).most_common()]


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
