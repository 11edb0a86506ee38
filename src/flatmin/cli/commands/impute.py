"""``flatmin impute``: fill the missing cells of a table, and write a directory of results."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.cli.fitted_estimator import comparing, coverage_rows
from flatmin.cli.imputation.completed_table import Imputation
from flatmin.cli.imputation.imputation_model import ImputationModel
from flatmin.cli.options import check_confidence, clip_bounds, exclude_model
from flatmin.cli.output import IMPUTATION, destination, results_directory
from flatmin.cli.recovery_summary import as_json, print_outcome
from flatmin.errors import InputError
from flatmin.formats.tables import Reading, TypedTable, read_typed_table
from flatmin.report import write_imputation_report
from flatmin.report.words import counted, not_held_out, number

__all__ = ["Request", "run"]

#: The number of tables of the fitted columns that are in memory at once.
TABLES = 30


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin impute``; ``command`` is the command line, for the report."""

    path: Path
    output: Path | None
    reading: Reading
    confidence: float
    clip: str | None
    round: bool
    #: --alpha and --seed, None if not typed.
    fit: Mapping[str, Any]
    model: Path | None
    json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Fill the table, write the results, print the outcome, and return the exit status."""
    start = time.perf_counter()
    check_confidence(request.confidence)
    exclude_model(request.model, request.fit)
    bounds = clip_bounds(request.clip, open_ended=True)
    target = destination(request.output, request.path, request.model, kind=IMPUTATION)
    with results_directory(target) as folder:
        imputation = _imputed(request, bounds, start)
        written = _write(request, imputation, folder)
    rows = _rows(imputation) | {"results": f"{target}: {', '.join(written)}"}
    print_outcome(imputation.summary, rows, imputation.notes(), json=request.json, quiet=request.quiet)
    return 0 if imputation.model.converged else 1


def _imputed(request: Request, bounds: tuple[float, float] | None, start: float) -> Imputation:
    """Read the table, fit or load the model, and complete the table."""
    given = None if request.model is None else ImputationModel.load(request.model)
    reading = request.reading if given is None else replace(request.reading, fitted=tuple(given.columns))
    table = read_typed_table(request.path, reading)
    n, d = table.matrix.shape
    require(8.0 * TABLES * n * d, f"filling {request.path.name}")
    if given is None and n < 2:
        raise InputError(f"{request.path.name} has 1 row, expected at least 2 to learn from; --model fills single rows")
    with comparing("cells", request.quiet) as watch:
        alpha, seed = (request.fit[name] for name in ("alpha", "seed"))
        settings = {"alpha": "auto" if alpha is None else alpha, "random_state": seed or 0}
        model = given or ImputationModel.fit(table, request.confidence, settings, watch)
        parts = model.complete(table, request.confidence)
    value, low, high = _kept(request, bounds, model, table, parts)
    source = None if request.model is None else str(request.model)
    return Imputation(table, model, request.confidence, value, low, high, time.perf_counter() - start, source)


def _kept(
    request: Request,
    bounds: tuple[float, float] | None,
    model: ImputationModel,
    table: TypedTable,
    parts: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array]:
    """Return values and interval bounds after --round and --clip."""
    facts = [model.columns[column.name] for column in table.fitted]
    value, low, high = parts
    if request.round:
        whole = np.array([fact["whole"] for fact in facts])
        value = np.where(whole, np.round(value), value)
        low, high = np.minimum(low, value), np.maximum(high, value)
    if request.clip == "observed":
        least, most = (np.array([fact[side] for fact in facts]) for side in ("smallest", "largest"))
    elif bounds is not None:
        least, most = map(np.array, bounds)
    else:
        return value, low, high
    return np.clip(value, least, most), np.clip(low, least, most), np.clip(high, least, most)


def _write(request: Request, imputation: Imputation, folder: Path) -> list[str]:
    """Write all results and return their names."""
    completed = imputation.table.write(folder / "completed", imputation.completed)
    imputation.write_intervals(folder / "intervals.csv")
    (folder / "summary.json").write_text(as_json(imputation.summary) + "\n", encoding="utf-8")
    write_imputation_report(folder / "report.html", imputation.reported(request.path.name, request.command))
    names = [completed.name, "intervals.csv", "report.html", "summary.json"]
    return names if request.model else [*names, imputation.model.save(folder)]


def _rows(imputation: Imputation) -> dict[str, str]:
    """Return the rows of the printed table."""
    summary, found = imputation.summary, imputation.summary["held_out"]
    filled = f"{counted(summary['n_filled'], 'cell')} in {counted(summary['n_fitted_columns'], 'numeric column')}"
    rows = {"filled": filled}
    if found is None:
        rows["error"] = f"not measured: {not_held_out(summary['n_fitted_columns'])}"
    else:
        rows["error on held-out cells"] = (
            f"{number(found['error'])} standard deviations of a column; column means {number(found['error_means'])}, "
            f"5 nearest neighbours {number(found['error_neighbours'])}"
        )
        rows |= coverage_rows(summary, f"{found['cells']} held-out cells")
        if found["means_are_as_good"]:
            rows["judgement"] = "column means predict as well: the other columns say little about a missing cell"
        elif found["neighbours_are_better"]:
            rows["judgement"] = "better than column means, but 5 nearest neighbours predict held-out cells better still"
    return rows
