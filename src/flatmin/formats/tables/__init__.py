"""Text, Excel and Parquet files with columns of any type, which are written again with missing cells filled."""

from flatmin.formats.tables.table_column import Role, TableColumn
from flatmin.formats.tables.typed_table import Reading, TypedTable, read_typed_table

__all__ = ["Reading", "Role", "TableColumn", "TypedTable", "read_typed_table"]

__dir__ = __all__.copy
