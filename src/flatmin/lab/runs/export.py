"""Export of results as a CSV or Parquet table with one row per trial."""

import csv
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from flatmin._core.files import atomic_path, check_writable, refused_if_unwritable
from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Experiment
from flatmin.lab.runs.store import Result

__all__ = ["check_export", "export", "rows"]

Row = dict[str, Any]


def rows(recipe: Experiment, results: Sequence[Result]) -> list[Row]:
    """Return one row per trial: recipe, parameters, repetition, seed, status, reason, metrics, seconds.

    All rows have the same columns, with None for missing values. A metric with the name of another column gets an
    underscore at the end.
    """
    parameters = recipe.columns
    metrics = list(dict.fromkeys(name for result in results for name in result.metrics))
    taken = {"recipe", *parameters, "repetition", "seed", "status", "reason", "seconds"}
    called = {name: f"{name}_" if name in taken else name for name in metrics}
    return [
        {"recipe": recipe.name}
        | {name: result.trial.parameters.get(name) for name in parameters}
        | {"repetition": result.trial.repetition, "seed": result.trial.seed}
        | {"status": result.status, "reason": result.reason}
        | {called[name]: result.metrics.get(name) for name in metrics}
        | {"seconds": result.seconds}
        for result in results
    ]


def export(file: str | Path, recipe: Experiment, results: Sequence[Result]) -> None:
    """Write results as a table with one row each to a ``.csv`` or ``.parquet`` file, completely or not at all.

    Another ending, a file that cannot be written, or Parquet without pyarrow raise `InputError`.

    Examples
    --------
    >>> from flatmin.lab import Store, recipes
    >>> with Store("trials.db") as store:  # doctest: +SKIP
    ...     export(Path("figure-3.csv"), recipes.find("figure-3"), store.results(recipes.find("figure-3")))
    """
    file = Path(file)
    write = check_export(file)
    with refused_if_unwritable(f"the --export {file}"), atomic_path(file) as temporary:
        write(temporary, rows(recipe, results))


def check_export(file: Path) -> Callable[[Path, list[Row]], None]:
    """Return the function that writes the file, or raise `InputError` if the file cannot be written."""
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if file.suffix not in writers:
        raise InputError(f"the --export {file} has the ending {file.suffix!r}, expected .csv or .parquet")
    check_writable(file, "the --export")
    if file.suffix == ".parquet":
        _arrow()
    return writers[file.suffix]


def _write_csv(file: Path, table: list[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(table[0]) if table else ["recipe"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _write_parquet(file: Path, table: list[Row]) -> None:
    arrow, parquet = _arrow()
    columns = {name: [row[name] for row in table] for name in (table[0] if table else ["recipe"])}
    parquet.write_table(arrow.table({name: _column(arrow, values) for name, values in columns.items()}), file)


def _column(arrow: Any, values: list[Any]) -> Any:
    """Return values as a column of one type: mixed numbers become floats, other mixtures become words."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
    elif len(kinds) > 1:
        values = [None if value is None else str(value) for value in values]
    return arrow.array(values)


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            "a .parquet file needs pyarrow, which is not installed: pip install 'flatmin[parquet]'"
        ) from error
