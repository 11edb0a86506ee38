"""TextTable: text files ``.csv`` or ``.tsv`` with commas, semicolons or tabs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells

__all__ = ["FORMAT", "TextTable"]

#: Texts that mark a missing cell, in lower case.
MISSING = ("", "nan", "na", "n/a", "#n/a", "null")
DELIMITERS = ("\t", ";", ",")
SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class _Line:
    """A row of the file: the number of its first line, its cells including quotes, and its line ending."""

    number: int
    cells: list[str]
    end: str

    @property
    def blank(self) -> bool:
        """Whether the row is empty."""
        return len(self.cells) == 1 and not self.cells[0].strip()

    def read(self, j: int) -> str:
        """Return the text of a cell without blanks and quotes."""
        text = self.cells[j].strip()
        if len(text) > 1 and text[0] == text[-1] == '"':
            return text[1:-1].replace('""', '"').strip()
        return text


class TextTable(Document):
    """A table of numbers, with or without a header and label columns, from the decoded text of a file.

    The first row is a header if one of its cells is text. The first column is an index if its header is blank; further
    label columns are leading columns of text. Known cells are written unchanged, character by character.
    """

    suffixes = (".csv", ".tsv")
    kind = "table"

    def __init__(self, text: str, path: Path) -> None:
        self._suffix, self._mark = path.suffix.lower(), "\ufeff" if text.startswith("\ufeff") else ""
        self._delimiter, self._lines = _split(text.removeprefix("\ufeff"), path)
        body = [line for line in self._lines if not line.blank or len(self._lines[0].cells) == 1]
        self._header = _has_header(body, self._delimiter)
        header, self._body = (body[0], body[1:]) if self._header else (None, body)
        width = len(body[0].cells)
        self._first = _label_columns(header, self._body, self._delimiter)
        if not self._body or self._first == width:
            raise InputError(f"{path} has no number, expected at least one known cell")
        names = [header.read(j) if header else "" for j in range(width)]
        matrix = np.array([self._numbers(line, names, path) for line in self._body])
        super().__init__(KnownCells.from_matrix(matrix, path.name))
        self.column_labels = names[self._first :] if header else None
        if self._first:
            self.row_labels = [" ".join(line.read(j) for j in range(self._first)) for line in self._body]
        self.notes.append(self._understood())

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a table in UTF-8, with or without byte order mark."""
        try:
            return cls(path.read_bytes().decode("utf-8"), path)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not text in UTF-8, see its byte {error.start}; save it as CSV UTF-8"
            ) from error

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write the table with missing cells filled, or with all numbers replaced. Other text stays unchanged."""
        path = stem.with_suffix(self._suffix)
        known = np.zeros(matrix.shape, bool)
        known[self.cells.rows, self.cells.cols] = not whole
        rows = {line.number: i for i, line in enumerate(self._body)}
        pieces = [self._mark]
        for line in self._lines:
            cells, i = list(line.cells), rows.get(line.number)
            if i is not None:
                for j in np.flatnonzero(~known[i]):
                    cells[self._first + j] = self._written(matrix[i, j])
            pieces += [self._delimiter.join(cells), line.end]
        path.write_bytes("".join(pieces).encode("utf-8"))
        return path

    def _numbers(self, line: _Line, names: list[str], path: Path) -> list[float]:
        values = []
        for j in range(self._first, len(line.cells)):
            value = _number(line.read(j), self._delimiter)
            if value is None or np.isinf(value):
                column = f"column {j + 1}" + (f" ({names[j]!r})" if names[j] else "")
                found = line.read(j) if len(line.read(j)) < 40 else line.read(j)[:40] + "…"
                raise InputError(
                    f"{path}, row {line.number}, {column} contains {found!r}, expected a finite number or an empty cell"
                )
            values.append(value)
        return values

    def _written(self, value: float) -> str:
        text = format(value + 0.0, f".{SIGNIFICANT_DIGITS}g")
        comma = self._delimiter == ";" and any("," in cell for line in self._body for cell in line.cells[self._first :])
        return text.replace(".", ",") if comma else text

    def _understood(self) -> str:
        rows, columns = self.cells.shape
        header = "with" if self._header else "without"
        index = {0: "no index column", 1: "an index column"}.get(self._first, f"{self._first} label columns")
        return f"Read as {rows} rows and {columns} columns, {header} a header and with {index}."


def _split(text: str, path: Path) -> tuple[str, list[_Line]]:
    """Return the delimiter that makes all rows equally long, and the rows, or raise `InputError` that names a row."""
    found = {d: list(_lines(text, d)) for d in DELIMITERS}
    if not any(not line.blank for line in found[","]):
        raise InputError(f"{path} has no number, expected at least one known cell")

    def lengths(delimiter: str) -> list[int]:
        return [len(line.cells) for line in found[delimiter] if not line.blank]

    regular = [d for d in DELIMITERS if lengths(d)[0] > 1 and len(set(lengths(d))) == 1]
    delimiter = regular[0] if regular else max(reversed(DELIMITERS), key=lambda d: lengths(d)[0])
    lines = found[delimiter]
    while lines[-1].blank:
        lines.pop()
    while lines[0].blank:
        lines.pop(0)
    width = len(lines[0].cells)
    for line in lines:
        if len(line.cells) != width and not line.blank:
            cells = "1 cell" if len(line.cells) == 1 else f"{len(line.cells)} cells"
            raise InputError(f"{path}, row {line.number} has {cells}, expected {width} as in row {lines[0].number}")
    return delimiter, lines


def _lines(text: str, delimiter: str) -> Iterator[_Line]:
    pattern = (
        rf'([^\S\r\n{delimiter}]*"(?:[^"]|"")*"[^\S\r\n{delimiter}]*|[^{delimiter}\r\n]*)({delimiter}|\r\n|\n|\r|\Z)'
    )
    number, cells = 1, []
    for match in re.finditer(pattern, text):
        cell, end = match.groups()
        cells.append(cell)
        if end != delimiter:
            if end or cells != [""]:
                yield _Line(number, cells, end)
            number, cells = number + 1 + sum(cell.count("\n") for cell in cells), []
        if not end:
            return


def _has_header(body: list[_Line], delimiter: str) -> bool:
    first, rest = body[0], body[1:]
    if any(_number(first.read(j), delimiter) is None for j in range(len(first.cells))):
        return True
    if first.read(0) or not rest:
        return False
    # The header is blank above row labels, or above the row numbers that are saved with data frames.
    counters = [str(i) for i in range(max(len(rest), len(first.cells)))]
    counted = [first.read(j) for j in range(1, len(first.cells))] == counters[: len(first.cells) - 1] and [
        line.read(0) for line in rest
    ] == counters[: len(rest)]
    return counted or any(_number(line.read(0), delimiter) is None for line in rest)


def _label_columns(header: _Line | None, body: list[_Line], delimiter: str) -> int:
    width, j = len(header.cells if header else body[0].cells), 0
    while j < width:
        blank = header is not None and j == 0 and not header.read(0)
        values = [_number(line.read(j), delimiter) for line in body]
        text = any(v is None for v in values) and all(v is None or np.isnan(v) for v in values)
        if not (blank or text):
            break
        j += 1
    return j


def _number(text: str, delimiter: str) -> float | None:
    """Return the number in a cell, NaN if it is missing, or None if it is text."""
    if text.lower() in MISSING:
        return float("nan")
    if delimiter == ";" and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


FORMAT = TextTable
