"""NamedFile: a table file of any kind, whose columns have distinct names."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import check_file
from flatmin.formats.tables.excel_file import ExcelFile
from flatmin.formats.tables.parquet_file import ParquetFile
from flatmin.formats.tables.table_file import TableFile
from flatmin.formats.tables.text_file import CodedTextFile, TextFile

__all__ = ["NamedFile"]

#: The kinds of files, and those in which each distinct text of a column is stored once.
KINDS: tuple[type[TableFile], ...] = (TextFile, ParquetFile, ExcelFile)
CODED: tuple[type[TableFile], ...] = (CodedTextFile, *KINDS[1:])


@dataclass(frozen=True, eq=False)
class NamedFile:
    """A table file, and distinct names of its columns.

    A column without a name is called by its position, from 0. Repeated names get the endings ``.1``, ``.2``, ….
    """

    file: TableFile
    names: list[str]

    @classmethod
    def read(cls, path: Path, encoding: str | None, noun: str, coded: bool = False) -> Self:
        """Read a file; its ending decides how. ``noun`` is what errors call it, such as "the table".

        With ``coded``, text files are read in blocks, as `CodedTextFile` does.
        """
        file = _kind(path, noun, CODED if coded else KINDS).read(path, encoding)
        return cls(file, _distinct(file.names))

    def position(self, option: str, name: str) -> int:
        """Return the position of the column that an option names, or raise `InputError`."""
        if name in self.names:
            return self.names.index(name)
        alike = {other.casefold(): other for other in self.names}
        near = difflib.get_close_matches(name.casefold(), alike, 1)
        hint = f"; did you mean {alike[near[0]]!r}?" if near else ""
        needs = "needs the column" if option == "the model" else "names the column"
        raise InputError(f"{option} {needs} {name!r}, found {self.listing}{hint}")

    @property
    def listing(self) -> str:
        """The first names of columns, quoted, for messages."""
        return ", ".join(map(repr, self.names[:12])) + (", …" if len(self.names) > 12 else "")

    @property
    def unsplit(self) -> list[str]:
        """The sentence that nothing separates columns in a text file, with the remedy; empty for other files."""
        if len(self.names) > 1 or not isinstance(self.file, TextFile | CodedTextFile):
            return []
        return ["no comma, semicolon, tab, bar or space separates columns in all its rows; save it as CSV, with commas"]


def _kind(path: Path, noun: str, kinds: Sequence[type[TableFile]]) -> type[TableFile]:
    check_file(path, noun)
    for kind in kinds:
        if path.name.lower().endswith(kind.suffixes):
            require(kind.bytes_per_byte * path.stat().st_size, f"reading {path.name}")
            return kind
    known = ", ".join(suffix for kind in kinds for suffix in kind.suffixes)
    raise InputError(f"{noun} {path} has the ending {path.suffix!r}, expected one of {known}")


def _distinct(names: Sequence[str]) -> list[str]:
    """Return different names: positions for columns without a name, and ``.1``, ``.2`` after repeated names."""
    out: list[str] = []
    count = Counter[str]()
    for j, name in enumerate(names):
        base = name or str(j)
        unique = base
        while unique in out or (unique != base and unique in names):
            count[base] += 1
            unique = f"{base}.{count[base]}"
        out.append(unique)
    return out
