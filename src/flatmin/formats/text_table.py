"""TextTable: text files ``.csv`` or ``.tsv`` with commas, semicolons or tabs."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells
from flatmin.formats.delimited import DelimitedText, TextLine

__all__ = ["FORMAT", "TextTable"]


class TextTable(Document):
    """A table of numbers, with or without a header and label columns, from the decoded text of a file.

    The first row is a header if one of its cells is text. The first column is an index if its header is blank; further
    label columns are leading columns of text. Known cells are written unchanged, character by character.
    """

    suffixes = (".csv", ".tsv")
    kind = "table"

    def __init__(self, text: str, path: Path) -> None:
        self._suffix, self._text = path.suffix.lower(), DelimitedText.parse(text, path)
        header, body = self._text.header, self._text.body
        self._first = _label_columns(header, body, self._text.number)
        if not body or self._first == self._text.width:
            raise InputError(f"{path} has no number, expected at least one known cell")
        names = header.texts if header else [""] * self._text.width
        matrix = np.array([self._numbers(line, names, path) for line in body])
        super().__init__(KnownCells.from_matrix(matrix, path.name))
        self.column_labels = names[self._first :] if header else None
        if self._first:
            self.row_labels = [" ".join(line.texts[: self._first]) for line in body]
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
        replaced = {
            i: {self._first + int(j): self._text.written(matrix[i, j]) for j in np.flatnonzero(~row)}
            for i, row in enumerate(known)
        }
        path.write_bytes(self._text.joined(replaced).encode("utf-8"))
        return path

    def _numbers(self, line: TextLine, names: list[str], path: Path) -> list[float]:
        values = []
        for j in range(self._first, len(line.cells)):
            value = self._text.number(line.texts[j])
            if value is None or np.isinf(value):
                column = f"column {j + 1}" + (f" ({names[j]!r})" if names[j] else "")
                found = line.texts[j] if len(line.texts[j]) < 40 else line.texts[j][:40] + "…"
                raise InputError(
                    f"{path}, row {line.number}, {column} contains {found!r}, expected a finite number or an empty cell"
                )
            values.append(value)
        return values

    def _understood(self) -> str:
        rows, columns = self.cells.shape
        header = "with" if self._text.header else "without"
        index = {0: "no index column", 1: "an index column"}.get(self._first, f"{self._first} label columns")
        return f"Read as {rows} rows and {columns} columns, {header} a header and with {index}."


def _label_columns(header: TextLine | None, body: list[TextLine], number: Callable[[str], float | None]) -> int:
    width, j = len(header.cells if header else body[0].cells), 0
    while j < width:
        blank = header is not None and j == 0 and not header.texts[0]
        values = [number(line.texts[j]) for line in body]
        text = any(v is None for v in values) and all(v is None or np.isnan(v) for v in values)
        if not (blank or text):
            break
        j += 1
    return j


FORMAT = TextTable
