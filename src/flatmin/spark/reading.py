"""Triples (row, column, value) from tables that Spark reads, with ids of any kind that can be sorted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.metric import Array

__all__ = ["LARGEST", "Indexed", "ascending", "check", "indexed", "placed", "read", "triples"]

#: Types of Spark that ids may have, beside whole numbers.
IDS = ("string", "date", "timestamp", "timestamp_ntz", "boolean", "float", "double")
WHOLE = ("byte", "short", "integer", "long")
NUMBERS = (*WHOLE, "float", "double", "decimal")
#: More rows or columns than this Spark's ALS cannot count.
LARGEST = 2**31 - 1


class Indexed:
    """Triples with positions in place of ids, and the ids in the order of the positions.

    Attributes
    ----------
    frame : DataFrame
        Columns i, j (whole numbers from 0) and v; kept by Spark until it is released.
    row_ids, column_ids : ndarray, shapes (d1,) and (d2,)
        Ascending.
    row_counts, column_counts : ndarray of int, shapes (d1,) and (d2,)
        How many triples each has.
    """

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


def read(spark: Any, source: Any) -> Any:
    """Return a DataFrame of a CSV or Parquet file, or of a folder of such files, and of a DataFrame itself.

    Raises
    ------
    InputError
        If there is no such file, or it is neither CSV (with a line of names) nor Parquet.
    """
    if not isinstance(source, str | Path):
        return source
    path = str(source)
    kind = Path(path.rstrip("/")).suffix.lower()
    compressed = kind in (".gz", ".bz2", ".zst")
    if compressed:
        kind = Path(path.rstrip("/")).with_suffix("").suffix.lower()
    try:
        if kind in (".csv", ".tsv"):
            separator = "\t" if kind == ".tsv" else ","
            return spark.read.csv(path, header=True, inferSchema=True, sep=separator, mode="FAILFAST")
        return spark.read.parquet(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise InputError(f"{path} cannot be read, expected a CSV file with names or Parquet: {reason}") from error


def triples(frame: Any, columns: Sequence[str] | None) -> Any:
    """Return the three columns that count, called row, column and value.

    Parameters
    ----------
    frame : DataFrame
    columns : sequence of str, optional
        The names of the three; None where there are no others.

    Raises
    ------
    InputError
        If there are other columns, or they have no kind that ids or values can have.
    """
    functions = import_module("pyspark.sql.functions")
    names = list(frame.columns) if columns is None else list(columns)
    if len(names) != 3:
        raise InputError(
            f"the columns are {', '.join(map(str, names))}, expected the names of three: row, column and value"
        )
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"there is no column {missing[0]!r}, expected three of {', '.join(frame.columns)}")
    kinds = {field.name: field.dataType.typeName() for field in frame.schema.fields}
    for name, allowed, what in zip(names, (IDS + WHOLE,) * 2 + (NUMBERS,), ("ids", "ids", "numbers"), strict=True):
        if kinds[name] not in allowed:
            raise InputError(f"column {name!r} holds {kinds[name]}, expected {what}")
    quoted = ["`" + name.replace("`", "``") + "`" for name in names]
    return frame.select(
        functions.col(quoted[0]).alias("row"),
        functions.col(quoted[1]).alias("column"),
        functions.col(quoted[2]).cast("double").alias("value"),
    )


def check(frame: Any) -> None:
    """Raise `InputError` if there are no triples, or some are not whole."""
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
    if found["value"] or not found["largest"] <= float(np.finfo(np.float32).max):
        raise InputError("the values contain NaN, nothing or numbers beyond those of 32 bits, expected finite ones")


def indexed(frame: Any) -> Indexed:
    """Return triples with positions for ids; the ids come to this machine, the triples stay where they are."""
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
    """Return triples that this machine holds, (m,) each, by positions in ids."""
    pyarrow = import_module("pyarrow")
    table = pyarrow.table({"i": _int32(i), "j": _int32(j), "v": np.asarray(values, dtype=float)})
    counts = np.bincount(i, minlength=len(ids[0])), np.bincount(j, minlength=len(ids[1]))
    return Indexed(spark.createDataFrame(table).persist(), ids, counts)


def _int32(positions: Array) -> Any:
    return import_module("pyarrow").array(np.asarray(positions, dtype=np.int32))


def ascending(column: Any) -> tuple[Array, Array]:
    """Return ids of Arrow as an ascending array, and where each stood."""
    ids = column.to_numpy()
    if ids.dtype.kind == "O":
        ids = np.array(ids.tolist(), dtype=str) if len(ids) and isinstance(ids[0], str) else np.array(ids.tolist())
    if ids.dtype.kind == "O":
        ids = np.array(ids, dtype="datetime64[D]")
    order = np.argsort(ids, kind="stable")
    return ids[order], order
