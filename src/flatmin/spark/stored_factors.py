"""Stored factors: the folder of a completion, which Spark writes and reads; factors as Parquet and facts as JSON."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import atomic_directory
from flatmin.errors import InputError
from flatmin.spark.session import session
from flatmin.spark.triples import ascending, reason

__all__ = ["arrow_table", "read_factors", "write_factors"]

#: Names of the parts of a folder: the factors of rows and of columns, and facts.
SIDES, FACTS = ("rows", "columns"), "about"
#: The fact by which factors of two writes are told apart: a hash of both factors.
HASH = "factors_sha256"

#: The ids of one side, ascending, and the rows of its factor.
Side = tuple[Array, Array]


def write_factors(path: str | Path, sides: tuple[Side, Side], facts: Mapping[str, Any], overwrite: bool) -> None:
    """Write the ids, factors and facts of a completion.

    A folder of this machine is replaced as a whole. Of any other folder the parts are replaced one after another;
    `read_factors` refuses parts of two writes. `InputError` is raised if the folder exists and ``overwrite`` is False,
    if it has anything but these parts, or if it cannot be written.
    """
    text = json.dumps({**facts, HASH: _hash(sides)}, default=_plain)
    with session() as spark:
        frames = {name: spark.createDataFrame(arrow_table(*side)) for name, side in zip(SIDES, sides, strict=True)}
        frames[FACTS] = spark.createDataFrame([(text,)], "description string").coalesce(1)
        try:
            with _place(spark, path, overwrite) as place:
                for name, frame in frames.items():
                    frame.write.mode("overwrite" if overwrite else "error").parquet(f"{place}/{name}")
        except Exception as error:
            cause = f"{path} cannot be written, expected a new folder or overwrite=True: {reason(error)}"
            raise InputError(cause) from error


def read_factors(path: str | Path) -> tuple[tuple[Side, Side], dict[str, Any]]:
    """Return the ids, factors and facts of a completion; any exception may be raised if they are damaged."""
    with session() as spark:
        local = _local(spark, path)
        place = str(path).rstrip("/") if local is None else _address(local)
        tables = {name: spark.read.parquet(f"{place}/{name}").toArrow() for name in (*SIDES, FACTS)}
    facts = dict(json.loads(tables[FACTS]["description"][0].as_py()))
    rows, columns = (_side(tables[name]) for name in SIDES)
    if facts.pop(HASH, None) not in (None, _hash((rows, columns))):
        raise InputError(f"{path} has parts of two completions, expected one that was written to its end")
    return (rows, columns), facts


@contextmanager
def _place(spark: Any, path: str | Path, overwrite: bool) -> Iterator[str]:
    """Yield the address to which Spark writes: of a folder of this machine a temporary one, which then replaces it."""
    local = _local(spark, path)
    if local is None:
        yield str(path).rstrip("/")
        return
    if local.exists():
        found = set(os.listdir(local))
        if not overwrite and found:
            raise FileExistsError("it exists")
        if other := sorted(found - {*SIDES, FACTS}):
            raise FileExistsError(f"it also has {other[0]}")
    with atomic_directory(local) as folder:
        yield _address(folder)


def _local(spark: Any, path: str | Path) -> Path | None:
    """Return the absolute path of a folder of this machine; None if Spark finds it in another file system."""
    place = spark._jvm.org.apache.hadoop.fs.Path(str(path))
    if place.getFileSystem(spark._jsc.hadoopConfiguration()).getUri().getScheme() != "file":
        return None
    return Path(path if place.toUri().getScheme() is None else place.toUri().getPath()).resolve()


def _address(folder: Path) -> str:
    return f"file:///{folder.as_posix().lstrip('/')}"


def arrow_table(ids: Array, factor: Array, id_name: str = "id", name: str = "features") -> Any:
    """Return the ids and the rows of a factor as an Arrow table."""
    pyarrow = import_module("pyarrow")
    ends = np.arange(len(factor) + 1, dtype=np.int32) * factor.shape[1]
    lists = pyarrow.ListArray.from_arrays(pyarrow.array(ends, pyarrow.int32()), pyarrow.array(factor.ravel()))
    return pyarrow.table({id_name: pyarrow.array(ids), name: lists})


def _side(table: Any) -> Side:
    ids, order = ascending(table["id"])
    factor = np.array(list(table["features"].combine_chunks().to_numpy(zero_copy_only=False)))
    return ids, factor[order].reshape(len(ids), -1)


def _hash(sides: tuple[Side, Side]) -> str:
    total = sha256()
    for _, factor in sides:
        total.update(np.ascontiguousarray(factor, "<f8").tobytes())
    return total.hexdigest()


def _plain(value: Any) -> Any:
    """Return a number of NumPy as a Python number, which JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a description")
