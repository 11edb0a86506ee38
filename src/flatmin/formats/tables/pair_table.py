"""PairTable: pairs of ids and their values, such as ratings of films by people, read from columns of a table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.coded_text import CodedColumn
from flatmin.formats.tables.named_file import NamedFile
from flatmin.formats.tables.pair_columns import ROLES, ColumnChoice
from flatmin.formats.tables.suspicions import about_marks, counted_marks, missing_options, too_large
from flatmin.formats.tables.table_column import ColumnCells, Marks

__all__ = ["PairReading", "PairTable", "read_pairs"]

#: A whole number as programs write it if the column has missing cells.
WHOLE = re.compile(r"(-?\d+)\.0")
#: The largest number of texts that a message lists.
MOST_TEXTS = 4


@dataclass(frozen=True)
class PairReading:
    """How pairs are read: names of the columns of rows, columns and values, marks of missing cells, and the encoding.

    A column whose name is None is the one that ``like`` names, if the table has it, and else found by `ColumnChoice`.
    If ``needs_values`` is False, the table may lack values.
    """

    row: str | None = None
    column: str | None = None
    value: str | None = None
    missing: Sequence[str] = ()
    encoding: str | None = None
    needs_values: bool = True
    #: The names of the columns in another table, in the order of rows, columns and values.
    like: Sequence[str] = ()

    def known(self, names: Sequence[str]) -> dict[str, str]:
        """Return the names of columns by role, as far as they are known, of a table whose columns have ``names``."""
        like = {role: name for role, name in zip(ROLES, self.like, strict=False) if name in names}
        return like | {role: name for role in ROLES if (name := getattr(self, role)) is not None}

    @property
    def remedy(self) -> str:
        """What to do if the columns cannot be told apart; "" if options name them."""
        if self.needs_values or not self.like:
            return ""
        return f"to take others, give them the names {self.like[0]!r} and {self.like[1]!r} of the known values"


@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairs of ids, and their values.

    Attributes
    ----------
    names : tuple of str
        The names of the columns of rows, columns and, if the table has values, values.
    pairs : ndarray of str, shape (m, 2)
        The ids, in the order of the file. Lines without a row or a column are left out, and if values are needed those
        without a value.
    values : ndarray, shape (m,), or None
        The values. If they are not needed, NaN stands for an unknown one, and None for a table without values.
    n_left_out : int
        The number of lines that are left out.
    notes : list of str
        Sentences for the user about how the table was read.
    """

    names: tuple[str, ...]
    pairs: Array
    values: Array | None
    n_left_out: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def n_repeated(self) -> int:
        """The number of lines whose pair stands in an earlier line."""
        i, j = (CodedColumn.from_texts(ids.tolist()).codes.astype(np.int64) for ids in self.pairs.T)
        return len(self.pairs) - len(np.unique(i * (1 + j.max(initial=0)) + j))


def read_pairs(path: Path, reading: PairReading, noun: str) -> PairTable:
    """Read pairs from a file, or raise `InputError` with one sentence that says what to do.

    ``noun`` is what errors call the file, such as "the table".
    """
    named = NamedFile.read(path, reading.encoding, noun, coded=True)
    names, columns, notes = _body(named)
    n = max(column.trimmed for column in columns)
    columns = [column.first(n) for column in columns]
    marks = Marks(tuple(reading.missing))
    cells = [ColumnCells.coded(column, named.file.number, marks) for column in columns]
    known = reading.known(names)
    choice = ColumnChoice(path.name, NamedFile(named.file, names), cells, reading.needs_values, reading.remedy)
    at = choice.columns(known)
    ids = [_ids(columns[j].distinct, marks) for j in at[:2]]
    codes = [columns[j].codes for j in at[:2]]
    kept, values = (ids[0] != "")[codes[0]] & (ids[1] != "")[codes[1]], None
    if len(at) == len(ROLES):
        column = cells[at[2]]
        values = column.values
        if reading.needs_values:
            if column.n_texts:
                raise InputError(_text_in_values(path.name, names[at[2]], column))

            def place(i: int) -> str:
                row, of_column = (str(known[of_rows[i]]) for known, of_rows in zip(ids, codes, strict=True))
                return f"the line of {row!r} and {of_column!r}"

            if fault := too_large(names[at[2]], column, place):
                raise InputError(f"{path.name}: {fault}")
            notes += about_marks({names[at[2]]: counted_marks(column)})
            kept &= ~np.isnan(values)
        values = values[kept]
    if not kept.any():
        what = "a row, a column and a value" if reading.needs_values else "a row and a column"
        raise InputError(f"{path.name} has no line with {what}, expected at least one")
    found = tuple(names[j] for j in at)
    if not known.keys() >= set(ROLES[: len(at)]):
        notes.append(_about_columns(path.name, found, reading.remedy))
    pairs = np.empty((int(kept.sum()), 2), dtype=np.result_type(*ids))
    for k in range(2):
        pairs[:, k] = ids[k][codes[k][kept]]
    return PairTable(found, pairs, values, int(np.count_nonzero(~kept)), notes)


def _body(named: NamedFile) -> tuple[list[str], list[CodedColumn], list[str]]:
    """Return names and texts of the columns, and notes. A first line with a number in it is not a header."""
    file = named.file
    columns = [file.coded(j) for j in range(len(named.names))]
    numbers = [file.number(name) for name in file.names]
    if not any(number is not None and not np.isnan(number) for number in numbers):
        return named.names, columns, list(file.notes)
    notes = [*file.notes, "the first line holds a number, so columns have no names and are called by position, from 0"]
    names = [str(j) for j in range(len(columns))]
    return names, [column.after(name) for name, column in zip(file.names, columns, strict=True)], notes


def _ids(texts: Sequence[str], marks: Marks) -> Array:
    """Return ids (n,), "" for missing ones. Whole numbers lose a decimal zero if all ids are such numbers."""
    ids = ["" if text in marks else text for text in texts]
    whole = [WHOLE.fullmatch(id_) for id_ in ids if id_]
    if whole and all(whole):
        ids = [id_.removesuffix(".0") for id_ in ids]
    return np.array(ids, dtype=str)


def _text_in_values(name: str, column: str, cells: ColumnCells) -> str:
    found = cells.commonest
    shown = ", ".join(map(repr, found[:MOST_TEXTS])) + (" and others" if len(found) > MOST_TEXTS else "")
    return (
        f"{name}: the column {column!r} of values contains {shown}, expected numbers; if this marks missing values, "
        f"pass {missing_options(found)}; --value names another column"
    )


def _about_columns(name: str, found: Sequence[str], remedy: str) -> str:
    nouns = ("rows are", "columns", "values")
    parts = [f"{noun} {column!r}" for noun, column in zip(nouns, found, strict=False)]
    listing = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"in {name}, {listing}; {remedy or '--row, --column and --value take other columns'}"
