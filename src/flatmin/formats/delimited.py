"""DelimitedText: a table as text with separated columns, which can be written again character by character."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = [
    "DELIMITERS",
    "MISSING",
    "SIGNIFICANT_DIGITS",
    "DelimitedText",
    "NumberFormat",
    "TextLine",
    "check_some_number",
    "check_widths",
    "decimal_sign",
    "has_header",
    "likely_delimiter",
    "plain_number",
    "spaced_lines",
    "text_lines",
    "unquoted",
]

#: Texts that mark a missing cell, in lower case.
MISSING = ("", "nan", "na", "n/a", "#n/a", "null")
#: Delimiters in the order in which they are tried. The colons are those of MovieLens-1M.
DELIMITERS = ("\t", ";", ",", "::", "|")
#: A cell and what ends it, if spaces separate cells. All spaces but the last before a cell belong to the cell, as do
#: those at the end of the row.
SPACED = re.compile(r'( *(?:"(?:[^"]|"")*"|[^ \r\n]*)(?: *(?=[\r\n]|\Z))?)( |\r\n|\n|\r|\Z)')
#: The number of digits of a filled cell.
SIGNIFICANT_DIGITS = 12
#: A number with a decimal comma, or with a decimal point.
DECIMAL = {sign: re.compile(rf"[+-]?\d*{re.escape(sign)}\d+(e[+-]?\d+)?", re.IGNORECASE) for sign in ",."}
#: A number whose commas, or points, may separate thousands.
GROUPED = {sign: re.compile(rf"[+-]?\d{{1,3}}({re.escape(sign)}\d{{3}})+") for sign in ",."}


@dataclass(frozen=True)
class TextLine:
    """A row of the file: the number of its first line, its cells including quotes, and its line ending."""

    number: int
    cells: list[str]
    end: str

    @property
    def blank(self) -> bool:
        """Whether the row is empty."""
        return len(self.cells) == 1 and not self.cells[0].strip()

    @cached_property
    def texts(self) -> list[str]:
        """The texts of the cells without blanks and quotes."""
        return [unquoted(cell) for cell in self.cells]


def unquoted(cell: str) -> str:
    """Return the text of a cell without blanks and quotes."""
    text = cell.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"').strip()
    return text


@dataclass(frozen=True)
class NumberFormat:
    """How a file writes numbers: what separates its columns, and its decimal sign."""

    delimiter: str
    decimal: str

    def number(self, text: str) -> float | None:
        """Return the number in a cell, NaN if it is missing, or None if it is text.

        A number whose sign may separate thousands is text.
        """
        if self.delimiter != ",":
            other = "." if self.decimal == "," else ","
            if other in text and GROUPED[other].fullmatch(text):
                return None
            if _has_sign(text, ","):
                text = text.replace(",", ".")
        return plain_number(text)


@dataclass(frozen=True, eq=False)
class DelimitedText:
    """The rows of a text file, which are equally long except for blank lines.

    ``before`` and ``after`` are the text around the rows: blank lines, and before them the byte order mark if there is
    one. ``decimal`` is the decimal sign of the file. ``header`` is the first row if one of its cells is text, and
    ``body`` has the rows of data.
    """

    before: str
    delimiter: str
    lines: list[TextLine]
    after: str

    @classmethod
    def parse(cls, text: str, path: Path) -> Self:
        """Split a text into rows and cells, or raise `InputError` that names the row of an error."""
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        delimiter, lines = _split(text.removeprefix(mark), path)
        rows = [k for k, line in enumerate(lines) if not line.blank]
        check_widths([lines[k].number for k in rows], [len(lines[k].cells) for k in rows], path)
        before, table, after = lines[: rows[0]], lines[rows[0] : rows[-1] + 1], lines[rows[-1] + 1 :]
        return cls(mark + _joined(before, delimiter), delimiter, table, _joined(after, delimiter))

    @cached_property
    def rows(self) -> list[TextLine]:
        """The rows without blank lines. In a table with one column a blank line is a missing cell."""
        return [line for line in self.lines if not line.blank or len(self.lines[0].cells) == 1]

    @cached_property
    def header(self) -> TextLine | None:
        """The row of names, if there is one."""
        first, *others = self.rows
        return first if has_header(first.texts, (line.texts[0] for line in others), self.number) else None

    @property
    def body(self) -> list[TextLine]:
        """The rows of data."""
        return self.rows[1:] if self.header else self.rows

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.lines[0].cells)

    @cached_property
    def decimal(self) -> str:
        """The decimal sign; see `decimal_sign`."""
        return decimal_sign(self.delimiter, ((text, 1) for line in self.rows for text in line.texts))

    def number(self, text: str) -> float | None:
        """Return the number in a cell; see `NumberFormat.number`."""
        return NumberFormat(self.delimiter, self.decimal).number(text)

    def written(self, value: float) -> str:
        """Return a number as the text of a cell, with the decimal sign of the file."""
        return format(value + 0.0, f".{SIGNIFICANT_DIGITS}g").replace(".", self.decimal)

    def joined(self, replaced: Mapping[int, Mapping[int, str]]) -> str:
        """Return the text of the file with other cells; ``replaced`` has them by row of ``body`` and by column."""
        rows = {line.number: i for i, line in enumerate(self.body)}
        lines = []
        for line in self.lines:
            cells = list(line.cells)
            for j, text in replaced.get(rows.get(line.number, -1), {}).items():
                cells[j] = text
            lines.append(replace(line, cells=cells))
        return self.before + _joined(lines, self.delimiter) + self.after


def decimal_sign(delimiter: str, cells: Iterable[tuple[str, int]]) -> str:
    """Return the decimal sign of some texts, each given with the number of its cells.

    It is a comma if commas do not separate columns and stand in more numbers than points do.
    """
    if delimiter == ",":
        return "."
    texts = [(text, n) for text, n in cells if "," in text or "." in text]
    found = {sign: [(text, n) for text, n in texts if _has_sign(text, sign)] for sign in ",."}
    certain = {sign: sum(n for text, n in found[sign] if not GROUPED[sign].fullmatch(text)) for sign in ",."}
    if certain[","] != certain["."] or delimiter in ("\t", " "):
        return "," if certain[","] > certain["."] else "."
    return "," if found[","] and not found["."] else "."


def plain_number(text: str) -> float | None:
    """Return a number with a decimal point, NaN for a missing cell, or None for text."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return float("nan") if text.lower() in MISSING else None


def _has_sign(text: str, sign: str) -> bool:
    return DECIMAL[sign].fullmatch(text) is not None


def _joined(lines: Sequence[TextLine], delimiter: str) -> str:
    return "".join(delimiter.join(line.cells) + line.end for line in lines)


def check_some_number(text: str, path: Path) -> None:
    """Raise `InputError` if a text has nothing but separators."""
    if not text.strip(" \t;,|\r\n").strip():
        raise InputError(f"{path} has no number, expected at least one known cell")


def _split(text: str, path: Path) -> tuple[str, list[TextLine]]:
    """Return the delimiter and the lines of a text."""
    check_some_number(text, path)
    lines = cache(lambda delimiter: list(text_lines(text, delimiter)))
    delimiter, splits = likely_delimiter(text, lambda delimiter: _widths(lines(delimiter)))
    spaced = [] if splits else spaced_lines(text)
    return (" ", spaced) if spaced else (delimiter, lines(delimiter))


def _widths(lines: Sequence[TextLine]) -> list[int]:
    return [len(line.cells) for line in lines if not line.blank]


def likely_delimiter(text: str, widths: Callable[[str], Sequence[int] | Array]) -> tuple[str, bool]:
    """Return the delimiter that makes all rows equally long, or else the likeliest one, and whether any splits a row.

    ``widths`` returns the numbers of cells (n,) of the rows for a delimiter, without blank lines. If no delimiter
    splits a row, spaces may separate cells; see `spaced_lines`.
    """
    firsts: dict[str, int] = {}
    splits = False
    for delimiter in DELIMITERS:
        if delimiter in text:
            found = np.asarray(widths(delimiter))
            if found[0] > 1 and np.all(found == found[0]):
                return delimiter, True
            firsts[delimiter], splits = int(found[0]), splits or bool(np.any(found > 1))
    tried = [delimiter for delimiter in DELIMITERS if delimiter in "\t;," or delimiter in text]
    return max(reversed(tried), key=lambda delimiter: firsts.get(delimiter, 1)), splits


def check_widths(numbers: Sequence[int] | Array, widths: Sequence[int] | Array, path: Path) -> None:
    """Raise `InputError` that names a row with another number of cells than most rows have.

    ``numbers`` (n,) are the numbers of the lines of the rows, ``widths`` (n,) their numbers of cells.
    """
    counts = np.asarray(widths)
    if np.all(counts == counts[0]):
        return
    width = Counter(counts.tolist()).most_common(1)[0][0]
    k, like = int(np.argmax(counts != width)), numbers[int(np.argmax(counts == width))]
    cells = "1 cell" if counts[k] == 1 else f"{counts[k]} cells"
    hint = "; delete lines above the table" if k == 0 else ""
    if hint and 1 < counts[k] == width - 1:
        hint = "; if the first column has no name, put a separator at the start of this row"
    raise InputError(f"{path}, row {numbers[k]} has {cells}, expected {width} as in row {like}{hint}")


def text_lines(text: str, delimiter: str) -> Iterator[TextLine]:
    """Yield the rows of a text, blank ones included."""
    if '"' not in text:
        parts = re.split("(\r\n|\n|\r)", text)
        for number, (row, end) in enumerate(zip(parts[::2], [*parts[1::2], ""], strict=True), start=1):
            if row or end:
                yield TextLine(number, row.split(delimiter), end)
        return
    pattern = (
        rf'([^\S\r\n{delimiter}]*"(?:[^"]|"")*"[^\S\r\n{delimiter}]*|[^{delimiter}\r\n]*)'
        rf"({re.escape(delimiter)}|\r\n|\n|\r|\Z)"
    )
    yield from _cells(text, re.compile(pattern), delimiter)


def spaced_lines(text: str) -> list[TextLine]:
    """Return the rows of a text whose cells are separated by spaces, or none if rows differ or have one cell."""
    lines = list(_cells(text, SPACED, " "))
    widths = set(_widths(lines))
    return lines if len(widths) == 1 and widths != {1} else []


def _cells(text: str, pattern: re.Pattern[str], delimiter: str) -> Iterator[TextLine]:
    """Return the rows of a text; ``pattern`` matches a cell and what ends it."""
    number, cells = 1, list[str]()
    for match in pattern.finditer(text):
        cell, end = match.groups()
        cells.append(cell)
        if end != delimiter:
            if end or cells != [""]:
                yield TextLine(number, cells, end)
            number, cells = number + 1 + sum(cell.count("\n") for cell in cells), []
        if not end:
            return


def has_header(first: Sequence[str], others: Iterable[str], number: Callable[[str], float | None]) -> bool:
    """Return whether the first row of a table has names.

    ``others`` are the first cells of the other rows, which are read only if the first row does not decide. ``number``
    returns None for text.
    """
    if any(number(text) is None for text in first):
        return True
    if first[0]:
        return False
    others = list(others)
    if not others:
        return False
    # The header is blank above row labels, or above the row numbers that are saved with data frames.
    counters = [str(i) for i in range(max(len(others), len(first)))]
    counted = list(first[1:]) == counters[: len(first) - 1] and others == counters[: len(others)]
    return counted or any(number(text) is None for text in others)
