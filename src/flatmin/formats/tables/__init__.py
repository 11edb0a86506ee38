"""Text, Excel and Parquet files with columns of any type, which are written again with missing cells filled."""

from flatmin.formats.tables.pair_table import PairReading, PairTable, read_pairs
from flatmin.formats.tables.table_column import Role, TableColumn
from flatmin.formats.tables.typed_table import Reading, TypedTable, read_typed_table

__all__ = [
    "PairReading",
    "PairTable",
    "Reading",
    "Role",
    "TableColumn",
    "TypedTable",
    "read_pairs",
    "read_typed_table",
]

__dir__ = __all__.copy
