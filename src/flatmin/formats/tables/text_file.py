"""TextFile: text files with commas, semicolons, tabs, bars or spaces, compressed or not, in any encoding."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin.formats.coded_text import CodedColumn, CodedText
from flatmin.formats.delimited import DelimitedText
from flatmin.formats.tables.encoding import EncodedText
from flatmin.formats.tables.table_file import TableFile

__all__ = ["CodedTextFile", "TextFile"]

#: Number of bytes that are unpacked at a time.
BLOCK = 1 << 24


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
        self.n_rows, self.notes = len(self._body), _notes(source, self._text.delimiter == " ", header is not None)

    @classmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read a text file; the ending ".gz" is for a compressed one."""
        return cls(_decoded(path, encoding, cls.bytes_per_byte), path)

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


class CodedTextFile(TableFile):
    """The same table with columns as `CodedText`, for tables with millions of rows and few columns."""

    suffixes = TextFile.suffixes
    bytes_per_byte = 8.0

    def __init__(self, source: EncodedText, path: Path) -> None:
        self._path, self._encoding = path, source.encoding
        self._text = CodedText.parse(source.text, path)
        header = self._text.header
        self.names = [""] * self._text.width if header is None else header
        self.index = 0 if header and self._text.width > 1 and not header[0] else None
        self.n_rows, self.notes = self._text.n_rows, _notes(source, self._text.spaced, header is not None)

    @classmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read a text file as `TextFile` does."""
        return cls(_decoded(path, encoding, cls.bytes_per_byte), path)

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column without blanks and quotes."""
        return self.coded(column).texts

    def coded(self, column: int) -> CodedColumn:
        """Return the cells of a column without blanks and quotes, each distinct text stored once."""
        return self._text.columns[column]

    def number(self, text: str) -> float | None:
        """Return the number in a cell, with the decimal sign of the file."""
        return self._text.format.number(text)

    def place(self, row: int) -> str:
        """Return the number of the line, which starts at 1."""
        return f"row {self._text.numbers[row - self.n_rows]}"

    def write(self, stem: Path, filled: Mapping[int, Array]) -> Path:
        """Write the text with filled cells replaced, as `TextFile` does."""
        return TextFile.read(self._path, self._encoding).write(stem, filled)


def _decoded(path: Path, encoding: str | None, bytes_per_byte: float) -> EncodedText:
    """Read the text of a file, which must fit in memory."""
    with refused_if_damaged(f"{path} cannot be read"):
        raw = path.read_bytes() if path.suffix.lower() != ".gz" else _unpacked(path, bytes_per_byte)
    return EncodedText.decode(raw, path, encoding)


def _unpacked(path: Path, bytes_per_byte: float) -> bytes:
    """Return the content of a compressed file block by block, as long as the text would fit in memory."""
    raw = bytearray()
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            raw += block
            require(bytes_per_byte * len(raw), f"reading {path.name}")
    return bytes(raw)


def _notes(source: EncodedText, spaced: bool, has_names: bool) -> list[str]:
    """Return sentences about the encoding, the separator and the names of columns."""
    notes = []
    if source.guessed:
        notes.append(f"the file is not UTF-8 and was read as {source.encoding}; --encoding takes another")
    if spaced:
        notes.append("spaces separate its columns")
    if not has_names:
        notes.append("the first row is numeric, so columns have no names and are called by position, from 0")
    return notes
