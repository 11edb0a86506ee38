"""TypedTable: a table of typed columns, of which the numeric ones are fitted and the others are carried along."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.tables.named_file import NamedFile
from flatmin.formats.tables.suspicions import (
    about_marks,
    about_numbering,
    about_text,
    about_truth,
    counted_marks,
    too_large,
    unreadable,
)
from flatmin.formats.tables.table_column import ColumnCells, Marks, Role, TableColumn
from flatmin.formats.tables.table_file import TableFile, trimmed

__all__ = ["Reading", "TypedTable", "read_typed_table"]

#: Memory of one number during reading, in bytes.
BYTES_PER_CELL = 40.0
#: Why a column is carried along that the file stores as dates, truth values or the like.
TYPED = "not a number in the file"


@dataclass(frozen=True)
class Reading:
    """How a table is read: marks of missing cells, names of columns, and the encoding of text.

    If ``fitted`` is not None, it names the columns to fit, whatever the others hold.
    """

    missing: Sequence[str] = ()
    index: str | None = None
    ignore: Sequence[str] = ()
    encoding: str | None = None
    fitted: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class TypedTable:
    """A table of typed columns.

    Rows at the end of a file that are completely empty do not belong to the table.

    Attributes
    ----------
    file : TableFile
        The file, in whose format the table is written again.
    columns : list of TableColumn
        All columns, in the order of the file.
    n_rows : int
        The number of rows.
    labels : list of str, or None
        The names of the rows.
    notes : list of str
        Sentences about what was found in the file.
    """

    file: TableFile
    columns: list[TableColumn]
    n_rows: int
    labels: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def fitted(self) -> list[TableColumn]:
        """The columns whose missing cells are filled."""
        return [column for column in self.columns if column.role is Role.fitted]

    @cached_property
    def matrix(self) -> Array:
        """The fitted columns, shape (n, d), with NaN in missing cells."""
        return np.stack([column.values for column in self.fitted], axis=1)

    @property
    def holes_left(self) -> int:
        """The number of missing cells in columns that are not fitted."""
        return sum(column.n_holes for column in self.columns if column.role is not Role.fitted)

    def write(self, stem: Path, completed: Array) -> Path:
        """Write the table with its missing cells filled from ``completed`` (n, d), and return the path."""
        return self.write_cells(stem, np.where(np.isnan(self.matrix), completed, np.nan))

    def write_cells(self, stem: Path, values: Array) -> Path:
        """Write the table with all fitted cells that are not NaN in ``values`` (n, d) replaced; return the path."""
        replaced: dict[int, Array] = {}
        positions = [j for j, column in enumerate(self.columns) if column.role is Role.fitted]
        for j, column in zip(positions, values.T, strict=True):
            replaced[j] = np.full(self.file.n_rows, np.nan)
            replaced[j][: self.n_rows] = column
        return self.file.write(stem, replaced)


def read_typed_table(path: Path, reading: Reading) -> TypedTable:
    """Read a table from a file, or raise `InputError` with one sentence that says what to do."""
    named = NamedFile.read(path, reading.encoding, "the table")
    file, names = named.file, named.names
    require(BYTES_PER_CELL * file.n_rows * len(names), f"reading {path.name}")
    index = file.index if reading.index is None else named.position("--index", reading.index)
    ignored = {named.position("--ignore", name) for name in reading.ignore}
    wanted = None if reading.fitted is None else {named.position("the model", name) for name in reading.fitted}
    texts = [file.texts(j) for j in range(len(names))]
    n_rows = max(map(trimmed, texts))
    columns, notes, counts, faults = [], list(file.notes), {}, {}
    for j, name in enumerate(names):
        cells = ColumnCells.read(texts[j][:n_rows], file.number, Marks(tuple(reading.missing)))
        role, reason = _role(j, cells, index, ignored, wanted, file.is_typed(j))
        if role is Role.fitted and cells.n_texts:
            row, _ = next(iter(cells.others.items()))
            faults[name] = (file.place(row), cells)
        if role is Role.fitted and (fault := too_large(name, cells, file.place)):
            raise InputError(f"{path.name}: {fault}")
        if role is Role.fitted:
            counts[name] = counted_marks(cells)
            notes += about_numbering(name, cells)
        notes += about_text(name, cells) if reason == "text" else ()
        notes += about_truth(name, cells) if reason in ("text", TYPED) else ()
        holes = cells.holes if file.names[j] or reason != "no number" else np.zeros(n_rows, bool)
        known = cells.values[~np.isnan(cells.values)]
        is_whole = role is Role.fitted and bool(np.all(np.mod(known, 1) == 0))
        columns.append(TableColumn(name, role, cells.values, holes, is_whole, reason))
    marks = list(about_marks(counts))
    if faults:
        raise InputError("; ".join([f"{path.name}: {unreadable(faults)}", *marks]))
    if not any(column.role is Role.fitted for column in columns):
        fault = f"{path.name} has no numeric column to fill, expected at least one"
        left_out = [names[j] for j in sorted(ignored) if np.isfinite(columns[j].values).any()]
        why = [f"--ignore leaves out {NamedFile(file, left_out).listing}"] * bool(left_out)
        raise InputError("; ".join([fault, *why, *named.unsplit, *notes]))
    return TypedTable(file, columns, n_rows, _labels(columns, texts, n_rows), [*notes, *marks])


def _role(
    j: int, cells: ColumnCells, index: int | None, ignored: set[int], wanted: set[int] | None, is_typed: bool
) -> tuple[Role, str]:
    """Return the role of a column, and why it is not fitted."""
    if wanted is not None and j in wanted:
        return Role.fitted, ""
    if j in ignored:
        return Role.ignored, "--ignore"
    if j == index:
        return Role.index, "the names of the rows"
    if wanted is not None:
        return Role.carried, "not in the model"
    if is_typed:
        return Role.carried, TYPED
    if cells.holes.all():
        return Role.carried, "no number"
    return (Role.fitted, "") if cells.is_numeric else (Role.carried, "text")


def _labels(columns: list[TableColumn], texts: list[list[str]], n_rows: int) -> list[str] | None:
    """Return the index column, or else the first column of text whose cells differ."""
    for j, column in enumerate(columns):
        if column.role is Role.index:
            return texts[j][:n_rows]
    for j, column in enumerate(columns):
        found = texts[j][:n_rows]
        if column.reason == "text" and len(set(found)) == n_rows and all(found):
            return found
    return None
