"""Triples (row, column, value) from tables that Spark reads. Ids of rows and columns can have any sortable type."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = [
    "LARGEST",
    "Indexed",
    "ascending",
    "check",
    "chosen",
    "indexed",
    "placed",
    "read",
    "readable",
    "reason",
    "triples",
]

#: Spark's types of ids, in addition to whole numbers.
ID_TYPES = ("string", "date", "timestamp", "timestamp_ntz", "boolean", "float", "double")
#: Types of ids in text files, in the order in which they are tried. Ids that fit none of them are strings.
TEXT_TYPES = ("long", "double", "date")
WHOLE = ("byte", "short", "integer", "long")
NUMBERS = (*WHOLE, "float", "double", "decimal")
#: Largest number of rows or columns that Spark's ALS can count.
LARGEST = 2**31 - 1
#: Largest value for Spark's ALS, which computes in 32 bits.
LARGEST_VALUE = float(np.finfo(np.float32).max)


class Indexed:
    """Triples (i, j, v) with positions in place of ids, the sorted ids, and the number of triples of each id."""

    def __init__(self, frame: Any, ids: tuple[Array, Array], counts: tuple[Array, Array]) -> None:
        self.frame = frame
        self.row_ids, self.column_ids = ids
        self.row_counts, self.column_counts = counts

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix."""
        return len(self.row_ids), len(self.column_ids)

    @property
    def size(self) -> int:
        """The number of triples."""
        return int(self.row_counts.sum())


@contextmanager
def readable(source: Any) -> Iterator[None]:
    """Turn errors of Spark about a source into `InputError`. Spark reads lazily, so errors may occur late."""
    name = str(source) if isinstance(source, str | Path) else "the DataFrame"
    wanted = (
        "expected a CSV file with a line of names, or Parquet" if name == str(source) else "expected what Spark can"
    )
    try:
        yield
    except (import_module("py4j.protocol").Py4JError, import_module("pyspark.errors").PySparkException) as error:
        raise InputError(f"{name} cannot be read, {wanted}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return the innermost cause of an error of Spark as one line of at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    thrown = [line for line in lines if re.match(r"(: )?[\w.]+(Exception|Error): ", line)]
    return (causes[-1:] or thrown[:1] or lines[:1])[0].removeprefix(": ")[:200]


def read(spark: Any, source: Any, columns: Sequence[str] | None = None) -> Any:
    """Return the columns row, column and value of a DataFrame, or of a file or folder of CSV or Parquet.

    ``columns`` are their names; they may be None if the table has only three columns. `InputError` is raised if the
    file is missing or of another format, or if the columns are not those of triples.
    """
    if not isinstance(source, str | Path):
        return triples(source, chosen(source, columns))
    path = Path(str(source).rstrip("/"))
    kinds = [suffix.lower() for suffix in path.suffixes[-2:]] or [""]
    kind = kinds[0] if kinds[-1] in (".gz", ".bz2", ".zst") else kinds[-1]
    if kind not in (".csv", ".tsv"):
        frame = spark.read.parquet(str(source))
        return triples(frame, chosen(frame, columns))
    separator = "\t" if kind == ".tsv" else ","
    whole = spark.read.option("columnPruning", False)  # else lines that lack cells of other columns are shifted
    frame = whole.csv(str(source), header=True, sep=separator, mode="FAILFAST", enforceSchema=False)
    if not frame.columns:
        raise InputError(f"{source} is empty, expected a line of names and triples below it")
    names = chosen(frame, columns)
    if columns is None and _number(names[2]):
        raise InputError(f"{source} begins with {', '.join(names)}, expected a line of names above the triples")
    return triples(_typed(frame, names), names)


def chosen(frame: Any, columns: Sequence[str] | None) -> list[str]:
    """Return the names of the three columns, or raise `InputError`."""
    if isinstance(columns, str):
        raise InputError(f"the names of columns are {columns!r}, expected a list of three: row, column and value")
    names = list(frame.columns) if columns is None else list(columns)
    if len(names) != 3:
        found = ", ".join(map(str, names))
        raise InputError(f"the columns are {found}, expected the names of three: row, column and value")
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"there is no column {missing[0]!r}, expected three of {', '.join(frame.columns)}")
    if len(set(names)) < 3:
        raise InputError(f"the columns are {', '.join(names)}, expected three different ones: row, column and value")
    return names


def triples(frame: Any, names: Sequence[str]) -> Any:
    """Return three columns of a DataFrame as row, column and value, or raise `InputError` for their types."""
    kinds = {field.name: field.dataType.typeName() for field in frame.schema.fields}
    for name, allowed, what in zip(names, (ID_TYPES + WHOLE,) * 2 + (NUMBERS,), ("ids", "ids", "numbers"), strict=True):
        if kinds[name] not in allowed:
            raise InputError(f"column {name!r} holds {kinds[name]}, expected {what}")
    row, column, value = (_column(name) for name in names)
    return frame.select(row.alias("row"), column.alias("column"), value.cast("double").alias("value"))


def _column(name: str) -> Any:
    """Return the column of a name, which may contain dots."""
    return import_module("pyspark.sql.functions").col(_quoted(name))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _typed(frame: Any, names: Sequence[str]) -> Any:
    """Return the columns of a CSV file with values as numbers, and ids as numbers or dates if nothing is lost.

    Ids stay strings unless Spark would write every one of them in the same way: "01" and "1" are two ids.
    """
    functions = import_module("pyspark.sql.functions")

    def all_of(condition: str) -> Any:
        return functions.bool_and(functions.expr(condition))

    kept = [
        all_of(f"{_quoted(name)} IS NULL OR CAST(TRY_CAST({_quoted(name)} AS {kind}) AS string) <=> {_quoted(name)}")
        for name in names[:2]
        for kind in TEXT_TYPES
    ]
    value = _quoted(names[2])
    odd = functions.min(functions.expr(f"CASE WHEN TRY_CAST({value} AS double) IS NULL THEN {value} END"))
    *fits, wrong = frame.agg(*(fit.alias(f"fit{k}") for k, fit in enumerate(kept)), odd.alias("odd")).first()
    if wrong is not None:
        raise InputError(f"column {names[2]!r} holds {wrong!r}, expected numbers")
    kinds = [
        next((kind for kind, fit in zip(TEXT_TYPES, fits[at : at + len(TEXT_TYPES)], strict=True) if fit), "string")
        for at in (0, len(TEXT_TYPES))
    ]
    cast = (_column(name).cast(kind).alias(name) for name, kind in zip(names, (*kinds, "double"), strict=True))
    return frame.select(*cast)


def check(frame: Any) -> None:
    """Raise `InputError` if there are no triples, or some are incomplete."""
    functions = import_module("pyspark.sql.functions")
    bad = {
        name: functions.sum((functions.col(name).isNull() | nan).cast("long")).alias(name)
        for name, nan in (
            (name, functions.isnan(name) if kind in ("float", "double") else functions.lit(False))
            for name, kind in frame.dtypes
        )
    }
    wide = functions.max(functions.abs("value")).alias("largest")
    found = frame.agg(functions.count(functions.lit(1)).alias("all"), wide, *bad.values()).first()
    if found["all"] == 0:
        raise InputError("there are no triples, expected at least one")
    for name in ("row", "column"):
        if found[name]:
            raise InputError(f"{found[name]} triples have no id of a {name}, expected an id in every one")
    if found["value"] or not found["largest"] <= LARGEST_VALUE:
        raise InputError("the values contain NaN, nothing or numbers beyond those of 32 bits, expected finite ones")


def indexed(frame: Any) -> Indexed:
    """Return triples with positions in place of ids. The ids are collected on this machine, but not the triples."""
    check(frame)
    spark, found = frame.sparkSession, {}
    for side, position in (("row", "i"), ("column", "j")):
        table = frame.groupBy(side).count().toArrow()
        ids, order = ascending(table[side])
        if len(ids) > LARGEST:
            raise InputError(f"there are {len(ids)} ids of a {side}, expected at most {LARGEST}")
        found[side] = ids, np.asarray(table["count"])[order]
        keyed = table.select([side]).take(order).append_column(position, _int32(np.arange(len(ids))))
        frame = frame.join(spark.createDataFrame(keyed), side)
    rows, columns = found["row"], found["column"]
    kept = frame.selectExpr("i", "j", "value AS v").persist()
    return Indexed(kept, (rows[0], columns[0]), (rows[1], columns[1]))


def placed(spark: Any, i: Array, j: Array, values: Array, ids: tuple[Array, Array]) -> Indexed:
    """Return distributed triples from arrays on this machine, (m,) each. Positions are indices of ``ids``."""
    pyarrow = import_module("pyarrow")
    table = pyarrow.table({"i": _int32(i), "j": _int32(j), "v": np.asarray(values, dtype=float)})
    counts = np.bincount(i, minlength=len(ids[0])), np.bincount(j, minlength=len(ids[1]))
    return Indexed(spark.createDataFrame(table).persist(), ids, counts)


def _int32(positions: Array) -> Any:
    return import_module("pyarrow").array(np.asarray(positions, dtype=np.int32))


def ascending(column: Any) -> tuple[Array, Array]:
    """Return the ids of an Arrow column as a sorted array, and the order that sorts them."""
    ids = column.to_numpy()
    if ids.dtype.kind == "O":
        ids = np.array(ids.tolist(), dtype=str) if len(ids) and isinstance(ids[0], str) else np.array(ids.tolist())
    if ids.dtype.kind == "O":
        ids = np.array(ids, dtype="datetime64[D]")
    order = np.argsort(ids, kind="stable")
    return ids[order], order
