"""ParquetFile: Apache Parquet files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin.formats.delimited import plain_number
from flatmin.formats.tables.table_file import TableFile, extra

__all__ = ["ParquetFile"]

#: Memory for each cell of a table that is read, in bytes: as a number, as a Python object, and as text.
BYTES_PER_CELL = 100.0

#: Copies of each text in memory: in the table, as a Python object, and in what is written.
TEXT_COPIES = 3.0


class ParquetFile(TableFile):
    """A Parquet file. Columns keep their types, except that integers become double if fractions fill the column."""

    suffixes = (".parquet",)
    bytes_per_byte = 60.0

    def __init__(self, table: Any) -> None:
        self._table = table
        self.names, self.n_rows, self.notes = list(table.column_names), table.num_rows, []
        self.index = next((j for j, name in enumerate(self.names) if name.startswith("__index_level_")), None)

    @classmethod
    def read(cls, path: Path, encoding: str | None = None) -> Self:
        """Read a Parquet file."""
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise extra("parquet", "pyarrow", path.suffix) from error
        with refused_if_damaged(f"{path} is not a whole Parquet file"):
            promised = pyarrow.parquet.read_metadata(path)
            require(BYTES_PER_CELL * promised.num_rows * promised.num_columns, f"reading {path.name}")
            return cls(_with_texts(path))

    def texts(self, column: int) -> list[str]:
        """Return the cells of a column as text."""
        return ["" if value is None else str(value).strip() for value in self._table.column(column).to_pylist()]

    def number(self, text: str) -> float | None:
        """Return the number in a cell."""
        return plain_number(text)

    def place(self, row: int) -> str:
        """Return the position of the row, which starts at 0."""
        return f"row {row} (from 0)"

    def is_typed(self, column: int) -> bool:
        """Return whether the column holds neither numbers nor text."""
        import pyarrow.types as kinds

        kind = self._table.schema.field(column).type
        plain = (kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_string, kinds.is_large_string)
        return not any(fits(kind) for fits in plain)

    def write(self, stem: Path, filled: Mapping[int, Array]) -> Path:
        """Write the table with filled cells in the types of their columns."""
        import pyarrow.parquet

        table = self._table
        for j, values in filled.items():
            field = table.schema.field(j)
            column, field = _filled(table.column(j), field, values)
            table = table.set_column(j, field, column)
        table = table.replace_schema_metadata(_described(table.schema))
        path = stem.with_name(stem.name + ".parquet")
        pyarrow.parquet.write_table(table, path)
        return path


def _with_texts(path: Path) -> Any:
    """Return the table of a file. Texts are read with each distinct one stored once, and written out if they fit."""
    import pyarrow.parquet

    types = {field.name: field.type for field in pyarrow.parquet.read_schema(path)}
    kinds = pyarrow.types
    texts = [name for name, kind in types.items() if kinds.is_string(kind) or kinds.is_large_string(kind)]
    table = pyarrow.parquet.read_table(path, read_dictionary=texts)
    coded = [j for j, field in enumerate(table.schema) if kinds.is_dictionary(field.type)]
    require(TEXT_COPIES * sum(_length(table.column(j)) for j in coded), f"reading {path.name}")
    for j in coded:
        field = table.schema.field(j)
        if field.name in texts:
            column = table.column(j).cast(types[field.name])
            table = table.set_column(j, field.with_type(column.type), column)
    return table


def _length(column: Any) -> int:
    """Return the bytes of all texts in a column whose distinct values are stored once."""
    import pyarrow.compute

    kind = column.type.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        return 0
    sizes = (pyarrow.compute.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks)
    return sum(int(pyarrow.compute.sum(found).as_py() or 0) for found in sizes)


def _described(schema: Any) -> dict[bytes, bytes] | None:
    """Return the metadata of a schema, in which the types that pandas reads fit columns that became double."""
    import pyarrow as pa

    known = schema.pandas_metadata
    if known is None:
        return dict(schema.metadata) if schema.metadata else None
    for entry in known["columns"]:
        index = schema.get_field_index(str(entry["field_name"]))
        if index >= 0 and pa.types.is_float64(schema.field(index).type):
            entry |= {"pandas_type": "float64", "numpy_type": "float64"}
    return {**schema.metadata, b"pandas": json.dumps(known).encode()}


def _filled(column: Any, field: Any, values: Array) -> tuple[Any, Any]:
    """Return a column with some cells replaced by ``values``, and its field."""
    import pyarrow as pa

    holes = ~np.isnan(values)
    if not holes.any():
        return column, field
    if pa.types.is_integer(field.type) and not np.all(np.mod(values[holes], 1) == 0):
        field = field.with_type(pa.float64())
    whole = pa.types.is_integer(field.type)
    cells = column.to_pylist()
    for i in np.flatnonzero(holes):
        number = float(values[i])
        cells[i] = int(number) if whole else number
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        cells = [format(c, ".12g") if isinstance(c, float) else c for c in cells]
    if pa.types.is_decimal(field.type):
        from decimal import Decimal

        step = Decimal(1).scaleb(-field.type.scale)
        cells = [Decimal(c).quantize(step) if isinstance(c, float) else c for c in cells]
    return pa.chunked_array([pa.array(cells, type=field.type)]), field
