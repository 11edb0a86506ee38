"""TextFile: text files with commas, semicolons, tabs or spaces, compressed or not, in any encoding."""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.delimited import DelimitedText
from flatmin.formats.tables.encoding import EncodedText
from flatmin.formats.tables.table_file import TableFile

__all__ = ["TextFile"]


class TextFile(TableFile):
    """A table as text. A first row with text in one of its cells has the names of the columns."""

    suffixes = (*(".csv", ".tsv", ".txt", ".data", ".dat", ".base", ".test", ".inter"), ".csv.gz", ".tsv.gz", ".txt.gz")

    def __init__(self, source: EncodedText, path: Path) -> None:
        self._source, self._text = source, DelimitedText.parse(source.text, path)
        self._suffix = next(s for s in reversed(self.suffixes) if path.name.lower().endswith(s))
        self._body = self._text.body
        header = self._text.header
        self.names = list(header.texts) if header else [""] * self._text.width
        self.index = 0 if header and self._text.width > 1 and not header.texts[0] else None
        self.n_rows, self.notes = len(self._body), []
        if source.guessed:
            self.notes.append(f"the file is not UTF-8 and was read as {source.encoding}; --encoding takes another")
        if self._text.delimiter == " ":
            self.notes.append("spaces separate its columns")
        if header is None:
            self.notes.append("the first row is numeric, so columns have no names and are called by position, from 0")

    @classmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read a text file; the ending ".gz" is for a compressed one."""
        try:
            raw = path.read_bytes()
            if path.suffix.lower() == ".gz":
                raw = gzip.decompress(raw)
                require(cls.bytes_per_byte * len(raw), f"reading {path.name}")
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return cls(EncodedText.decode(raw, path, encoding), path)

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column without blanks and quotes."""
        return [line.texts[column] for line in self._body]

    def number(self, text: str) -> float | None:
        """Return the number in a cell, with the decimal sign of the file."""
        return self._text.number(text)

    def place(self, row: int) -> str:
        """Return the number of the line, which starts at 1."""
        return f"row {self._body[row].number}"

    def write(self, stem: Path, filled: Mapping[int, Array]) -> Path:
        """Write the text with filled cells replaced; all other characters stay the same."""
        replaced: dict[int, dict[int, str]] = {}
        for j, values in filled.items():
            for i in np.flatnonzero(~np.isnan(values)):
                replaced.setdefault(int(i), {})[j] = self._text.written(float(values[i]))
        raw = self._source.encoded(self._text.joined(replaced))
        path = stem.with_name(stem.name + self._suffix)
        path.write_bytes(gzip.compress(raw, mtime=0) if self._suffix.endswith(".gz") else raw)
        return path
