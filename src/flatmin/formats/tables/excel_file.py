"""ExcelFile: the first sheet of an Excel workbook."""

import datetime as dt
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin.errors import InputError
from flatmin.formats.delimited import has_header, plain_number
from flatmin.formats.tables.table_file import TableFile, extra, trimmed

__all__ = ["ExcelFile"]

#: A workbook may unpack to this multiple of its size, and a sheet may have this multiple of cells for each value; up to
#: so many bytes or cells any multiple is accepted.
LARGEST_RATIO, SMALL = 100, 10_000_000


class ExcelFile(TableFile):
    """The first sheet of a workbook; other sheets, formats and formulas are kept.

    A formula counts as the value that Excel stored with it.
    """

    suffixes = (".xlsx", ".xlsm")
    bytes_per_byte = 400.0

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            stored, self._book = (_workbook(path, values) for values in (True, False))
        if not (stored.worksheets and self._book.worksheets):
            raise InputError(f"{path} has no sheet, expected a table in its first one")
        sheet, self._sheet = stored.worksheets[0], self._book.worksheets[0]
        last_row, last_column = _extent(path, sheet)
        filled = sheet.iter_rows(max_row=last_row, max_col=last_column, values_only=True)
        rows = [[_text(value) for value in row] for row in filled]
        rows = rows[: trimmed([any(row) for row in rows])]
        self._top = next((i for i, row in enumerate(rows) if any(row)), 0)
        rows = rows[self._top :]
        if not rows:
            raise InputError(f"{path}: the sheet {sheet.title!r} is empty, expected a table")
        named = has_header(rows[0], (row[0] for row in rows[1:]), self.number)
        self.names = rows[0] if named else [""] * len(rows[0])
        self.index = 0 if named and len(rows[0]) > 1 and not rows[0][0] else None
        self._top += int(named)
        self._rows, self._suffix = rows[int(named) :], path.suffix.lower()
        self.n_rows, self.notes = len(self._rows), []
        self._check(path)
        if len(stored.worksheets) > 1:
            self.notes.append(
                f"the workbook has {len(stored.worksheets)} sheets; the first one, {sheet.title!r}, is read"
            )

        if warned:
            sentence = " ".join(str(warned[0].message).split())
            self.notes.append(f"a part of the workbook is neither read nor written: {sentence}")

    @classmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read the first sheet of a workbook."""
        return cls(path)

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column as text."""
        return [row[column] for row in self._rows]

    def number(self, text: str) -> float | None:
        """Return the number in a cell."""
        return plain_number(text)

    def place(self, row: int) -> str:
        """Return the number of the row in the sheet, which starts at 1."""
        return f"row {self._top + row + 1}"

    def write(self, stem: Path, filled: Mapping[int, Array]) -> Path:
        """Write the workbook with filled cells as numbers."""
        for j, values in filled.items():
            for i in np.flatnonzero(~np.isnan(values)):
                number = float(values[i])
                self._sheet.cell(self._top + int(i) + 1, j + 1).value = int(number) if number.is_integer() else number
        path = stem.with_name(stem.name + self._suffix)
        self._book.save(path)
        return path

    def _check(self, path: Path) -> None:
        """Raise `InputError` if a cell of the table cannot be read or written."""
        first, last = self._top + 1, self._top + self.n_rows
        for area in self._sheet.merged_cells.ranges:
            if area.min_row <= last and area.max_row >= first:
                raise InputError(f"{path} has merged cells {area}, expected one value in each cell; unmerge them")
        cells = self._sheet.iter_rows(min_row=first, max_row=last, max_col=len(self.names))
        for row, texts in zip(cells, self._rows, strict=True):
            for cell, text in zip(row, texts, strict=True):
                if cell.data_type == "f" and not text:
                    raise InputError(
                        f"{path}: {cell.coordinate} is a formula without a stored value; open the file in Excel and "
                        "save it"
                    )


def _check_size(path: Path) -> None:
    """Raise `InputError` if the file promises to unpack to far more than its size, as no program writes a workbook."""
    with refused_if_damaged(f"{path} is not a whole Excel workbook"), zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(LARGEST_RATIO * path.stat().st_size, SMALL):
        raise InputError(
            f"{path} would unpack to {unpacked / 2**20:.0f} MiB, over {LARGEST_RATIO} times its size, expected a table "
            "as programs write it; save it as .csv"
        )


def _extent(path: Path, sheet: Any) -> tuple[int, int]:
    """Return the numbers of the last row and the last column with a value; a few stray cells far away are refused."""
    places = [(cell.row, cell.column) for cell in sheet._cells.values() if cell.value is not None]
    rows, columns = (max(numbers, default=1) for numbers in (zip(*places, strict=True) if places else ((), ())))
    if rows * columns > max(LARGEST_RATIO * len(places), SMALL):
        raise InputError(
            f"{path}: the sheet {sheet.title!r} has {len(places)} values, but its last ones are in row {rows} and "
            f"column {columns}, expected a table; delete stray cells"
        )
    return rows, columns


def _workbook(path: Path, values: bool) -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise extra("excel", "openpyxl", path.suffix) from error
    _check_size(path)
    with refused_if_damaged(f"{path} is not a whole Excel workbook"):
        return openpyxl.load_workbook(path, data_only=values, keep_vba=path.suffix.lower() == ".xlsm")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value).strip()
