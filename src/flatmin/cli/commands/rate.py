"""``flatmin rate``: predict values of pairs, recommend columns, and write a directory of results."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flatmin.cli.fitted_estimator import comparing, coverage_rows
from flatmin.cli.options import check_confidence, clip_bounds, exclude_model
from flatmin.cli.output import RATING, destination, results_directory
from flatmin.cli.rating.rated_pairs import RatedPairs
from flatmin.cli.rating.rating_model import RatingModel
from flatmin.cli.recovery_summary import as_json, print_outcome
from flatmin.errors import InputError
from flatmin.formats.tables import PairReading, PairTable, read_pairs
from flatmin.report import write_rating_report
from flatmin.report.words import counted, number

__all__ = ["Request", "run"]

#: The number of recommended columns of a row, if --recommend is not typed.
RECOMMENDED = 10


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin rate``; ``command`` is the command line, for the report."""

    path: Path | None
    output: Path | None
    reading: PairReading
    predict: Path | None
    recommend: int | None
    confidence: float
    clip: str | None
    #: --alpha and --seed, None if not typed.
    fit: Mapping[str, Any]
    model: Path | None
    json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Predict, write the results, print the outcome, and return the exit status."""
    start = time.perf_counter()
    first = next((path for path in (request.path, request.predict, request.model) if path is not None), None)
    if request.model is None and request.path is None:
        raise InputError("RATINGS is missing, expected a file of values to learn from, or --model DIR")
    assert first is not None
    check_confidence(request.confidence)
    exclude_model(request.model, request.fit)
    if request.recommend is not None and request.recommend < 0:
        raise InputError(f"--recommend is {request.recommend}, expected a number of columns, or 0 for none")
    bounds = clip_bounds(request.clip)
    target = destination(request.output, first, request.path, request.predict, request.model, kind=RATING)
    with results_directory(target) as folder:
        rated = replace(_rated(request, bounds), source=None if request.model is None else str(request.model))
        rated = replace(rated, seconds=time.perf_counter() - start)
        written = _write(request, rated, folder, first.name)
    rows = _rows(rated) | {"results": f"{target}: {', '.join(written)}"}
    print_outcome(rated.summary, rows, rated.notes(), json=request.json, quiet=request.quiet)
    return 0 if rated.model.converged else 1


def _rated(request: Request, bounds: tuple[float, float] | None) -> RatedPairs:
    """Read the files, fit or load the model, and predict."""
    given = None if request.model is None else RatingModel.load(request.model)
    reading = request.reading if given is None else replace(request.reading, like=given.names)
    table = None if request.path is None else read_pairs(request.path, reading, "the table")
    names = given.names if table is None and given is not None else (table.names if table is not None else ())
    asked = _asked(request, names)
    with comparing("values", request.quiet) as watch:
        if given is None:
            assert table is not None
            assert table.values is not None
            alpha, seed = (request.fit[name] for name in ("alpha", "seed"))
            clip = (table.values.min(), table.values.max()) if request.clip == "observed" else bounds
            settings = {"alpha": "auto" if alpha is None else alpha, "random_state": seed or 0, "clip": _clip(clip)}
            model = RatingModel.fit(table, request.confidence, settings, watch)
        else:
            model = given if table is None else given.with_rows(table)
            observed = model.facts["smallest"], model.facts["largest"]
            clip = observed if request.clip == "observed" else bounds
            if clip is not None:
                model.estimator.set_params(clip=_clip(clip))
        most = RECOMMENDED if request.recommend is None else request.recommend
        return RatedPairs.predicted(model, table, asked, most, request.confidence)


def _asked(request: Request, names: tuple[str, ...]) -> PairTable | None:
    if request.predict is None:
        return None
    reading = replace(request.reading, row=None, column=None, value=None, needs_values=False, like=names)
    return read_pairs(request.predict, reading, "the --predict")


def _clip(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return bounds for the estimator; without room between them there is nothing to clip."""
    if bounds is None or not bounds[0] < bounds[1]:
        return None
    return float(bounds[0]), float(bounds[1])


def _write(request: Request, rated: RatedPairs, folder: Path, name: str) -> list[str]:
    """Write all results and return their names."""
    names = rated.write(folder)
    (folder / "summary.json").write_text(as_json(rated.summary) + "\n", encoding="utf-8")
    write_rating_report(folder / "report.html", rated.reported(name, request.command))
    names += ["report.html", "summary.json"]
    return names if request.model else [*names, rated.model.save(folder)]


def _rows(rated: RatedPairs) -> dict[str, str]:
    """Return the rows of the printed table."""
    summary, found = rated.summary, rated.summary["held_out"]
    n, d = summary["shape"]
    pairs = {"given": "of --predict", "unrated": "without a value: all", "recommended": "that are recommended"}
    rows = {"predicted": f"{counted(summary['n_predicted'], 'pair')} {pairs[rated.chosen]}"}
    rows["learned from"] = f"{counted(n, 'row')} and {counted(d, 'column')}"
    if summary["n_values"] is not None and summary["model"] is None:
        rows["learned from"] = f"{counted(summary['n_values'], 'value')} in {rows['learned from']}"
    if found is None:
        rows["error"] = "not measured: there are too few pairs to hold some out"
    else:
        rows["error on held-out pairs"] = (
            f"{number(found['error'])}; row and column offsets {number(found['error_offsets'])}, "
            f"the mean {number(found['error_mean'])}"
        )
        rows |= coverage_rows(summary, f"{found['pairs']} held-out values")
        if found["offsets_are_as_good"]:
            rows["judgement"] = "offsets of rows and columns predict as well: no taste of single rows was found"
    given = summary["given"]
    if given is not None:
        rows["error on the given pairs"] = f"{number(given['error'])} over the {given['pairs']} with values in the file"
    return rows
