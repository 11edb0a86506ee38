"""CodedText: a table as text that is read in blocks, for tables with millions of rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.formats.delimited import (
    NumberFormat,
    check_some_number,
    check_widths,
    decimal_sign,
    has_header,
    likely_delimiter,
    spaced_lines,
    text_lines,
    unquoted,
)

__all__ = ["CodedColumn", "CodedText"]

#: Approximate number of characters of a text without quotes that are split at a time.
BLOCK = 1 << 20
#: Number of lines of a text with quotes that are split at a time.
BLOCK_LINES = 10_000


class _Codes(dict[str, int]):
    """The codes of cells; cells that differ only in blanks and quotes around their text have the same code."""

    def __init__(self) -> None:
        super().__init__()
        self.of_texts: dict[str, int] = {}

    def __missing__(self, cell: str) -> int:
        code = self.of_texts.setdefault(unquoted(cell), len(self.of_texts))
        self[cell] = code
        return code


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """The texts of a column: the distinct ones and, for every row (n,), the position of its text among them.

    Examples
    --------
    >>> column = CodedColumn.from_texts(["b", "a", "b"])
    >>> column.codes, column.distinct
    (array([0, 1, 0], dtype=int32), ['b', 'a'])
    """

    codes: Array
    distinct: list[str]

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Self:
        """Store each distinct one of some texts once."""
        known: dict[str, int] = {}
        codes = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32)
        return cls(codes, list(known))

    @property
    def texts(self) -> list[str]:
        """The texts of all rows."""
        return [self.distinct[code] for code in self.codes]

    @property
    def counts(self) -> Array:
        """The number of rows of each distinct text."""
        return np.bincount(self.codes, minlength=len(self.distinct))

    @property
    def trimmed(self) -> int:
        """The number of rows up to the last one that is not empty."""
        filled = np.array([bool(text) for text in self.distinct], bool)[self.codes[::-1]]
        return len(filled) - int(np.argmax(filled)) if filled.any() else 0

    def first(self, n: int) -> Self:
        """Return the first n rows."""
        return type(self)(self.codes[:n], self.distinct)

    def without_first(self) -> Self:
        """Return all rows but the first one."""
        codes = self.codes[1:]
        return type(self)(codes, self.distinct) if np.any(codes == 0) else type(self)(codes - 1, self.distinct[1:])

    def after(self, text: str) -> Self:
        """Return the column with a further text above its first row."""
        code = self.distinct.index(text) if text in self.distinct else len(self.distinct)
        distinct = self.distinct if code < len(self.distinct) else [*self.distinct, text]
        return type(self)(np.concatenate([[np.int32(code)], self.codes]), distinct)


@dataclass(frozen=True, eq=False)
class CodedText:
    """The text of a table, read as `DelimitedText` does, but with 4 bytes for a cell and each distinct text once.

    ``numbers`` (n,) are the numbers of the lines of the rows, including a row of names. ``spaced`` is whether spaces
    separate the columns of the file; ``text`` then has tabs instead.
    """

    text: str
    delimiter: str
    width: int
    numbers: Array
    spaced: bool = False

    @classmethod
    def parse(cls, text: str, path: Path) -> Self:
        """Find the rows of a text, or raise `InputError` that names the row of an error."""
        text = text.removeprefix("\ufeff")
        check_some_number(text, path)
        rows = cache(lambda delimiter: _rows(text, delimiter))
        delimiter, splits = likely_delimiter(text, lambda delimiter: rows(delimiter)[1])
        spaced = [] if splits else spaced_lines(text)
        if spaced:
            tabbed = "".join("\t".join(line.cells) + line.end for line in spaced)
            return replace(cls.parse(tabbed, path), spaced=True)
        numbers, widths = rows(delimiter)
        check_widths(numbers, widths, path)
        return cls(text, delimiter, int(widths[0]), numbers)

    @cached_property
    def header(self) -> list[str] | None:
        """The names of the columns in the first row, if one of its cells is text."""
        texts, column = [column.distinct[0] for column in self._whole], self._whole[0]
        others = (column.distinct[code] for code in column.codes[1:])
        return texts if has_header(texts, others, self.format.number) else None

    @cached_property
    def columns(self) -> list[CodedColumn]:
        """The columns without their names."""
        return self._whole if self.header is None else [column.without_first() for column in self._whole]

    @cached_property
    def format(self) -> NumberFormat:
        """How the text writes numbers."""
        counted = ((text, int(n)) for c in self._whole for text, n in zip(c.distinct, c.counts, strict=True))
        return NumberFormat(self.delimiter, decimal_sign(self.delimiter, counted))

    @property
    def n_rows(self) -> int:
        """The number of rows of data."""
        return len(self.numbers) - (self.header is not None)

    @cached_property
    def _whole(self) -> list[CodedColumn]:
        """The columns with their first rows."""
        known, parts = [_Codes() for _ in range(self.width)], []
        for _, lines in _blocks(self.text, self.delimiter):
            cells = [cell for line in lines for cell in line] if '"' in self.text else _cells(lines, self.delimiter)
            columns = (map(codes.__getitem__, cells[j :: self.width]) for j, codes in enumerate(known))
            parts.append([np.fromiter(column, np.int32, len(lines)) for column in columns])
        joined = (np.concatenate(column) for column in zip(*parts, strict=True))
        return [CodedColumn(column, list(codes.of_texts)) for column, codes in zip(joined, known, strict=True)]


def _cells(lines: list[Any], delimiter: str) -> list[str]:
    """Return the cells of lines without quotes, one line after another."""
    if len(delimiter) > 1:  # a cell may end with a part of the delimiter
        return [cell for line in lines for cell in line.split(delimiter)]
    return delimiter.join(lines).split(delimiter)


def _rows(text: str, delimiter: str) -> tuple[Array, Array]:
    """Return the line number and the number of cells of every row that is not blank."""
    numbers, widths, quoted = [], [], '"' in text
    for of_lines, lines in _blocks(text, delimiter):
        counts = map(len, lines) if quoted else (1 + line.count(delimiter) for line in lines)
        numbers.append(np.array(of_lines, np.int32))
        widths.append(np.fromiter(counts, np.int32, len(lines)))
    return np.concatenate(numbers), np.concatenate(widths)


def _blocks(text: str, delimiter: str) -> Iterator[tuple[Sequence[int], list[Any]]]:
    """Yield numbers of lines, and the lines that are not blank: text, or lists of cells if there are quotes."""
    if '"' in text:
        quoted = (line for line in text_lines(text, delimiter) if not line.blank)
        while block := list(islice(quoted, BLOCK_LINES)):
            yield [line.number for line in block], [line.cells for line in block]
        return
    for numbers, lines in _plain(text):
        kept = [k for k, line in enumerate(lines) if line.strip() or delimiter in line]
        if len(kept) == len(lines):
            yield numbers, lines
        elif kept:
            yield [numbers[k] for k in kept], [lines[k] for k in kept]


def _plain(text: str) -> Iterator[tuple[Sequence[int], list[str]]]:
    """Yield the lines of a text without quotes."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    start, number = 0, 1
    while start < len(text):
        stop = text.find("\n", start + BLOCK)
        stop = len(text) if stop < 0 else stop
        lines = text[start:stop].split("\n")
        yield range(number, number + len(lines)), lines
        start, number = stop + 1, number + len(lines)
