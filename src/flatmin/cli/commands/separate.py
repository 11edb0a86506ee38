"""``flatmin separate``: split data into a low-rank part and gross errors, and write a directory of results."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.progress import listening, progress, spoken
from flatmin.cli.options import exclude_model, in_options
from flatmin.cli.output import SEPARATION, destination, results_directory
from flatmin.cli.recovery_summary import as_json, print_outcome
from flatmin.cli.separation.separable import SeparableTable, read_separable
from flatmin.cli.separation.separation import Separation
from flatmin.cli.separation.separation_model import SeparationModel
from flatmin.errors import InputError
from flatmin.formats.clips import Sampling
from flatmin.formats.clips.clip import SECONDS_PER_CELL
from flatmin.formats.tables import Reading
from flatmin.report import write_separation_report
from flatmin.report.words import counted, number

__all__ = ["Request", "run"]

#: Time that a separation takes at least, in seconds.
LEAST_SECONDS = 2.0


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin separate``; ``command`` is the command line, for the report."""

    path: Path
    output: Path | None
    reading: Reading
    sampling: Sampling
    #: --alpha, --weight and --seed, None if not typed.
    fit: Mapping[str, Any]
    model: Path | None
    json: bool
    quiet: bool
    command: str


@dataclass
class _Pace:
    """The words of the progress line. The remaining time follows from the number of cells."""

    expected: float
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, row: Mapping[str, Any]) -> Iterator[str]:
        elapsed = time.perf_counter() - self.started
        left = self.expected - elapsed
        yield f"separating: {elapsed:.0f} s"
        yield f"about {spoken(left)} left" if left > 0 else "longer than most data of this size"
        if "rank" in row:
            yield f"rank {row['rank']:.0f}"


def run(request: Request) -> int:
    """Separate the data, write the results, print the outcome, and return the exit status."""
    start = time.perf_counter()
    _check(request)
    target = destination(request.output, request.path, request.model, kind=SEPARATION)
    with results_directory(target) as folder:
        separation = _separated(request, start)
        written = _write(request, separation, folder)
    rows = _rows(separation) | {"results": f"{target}: {', '.join(written)}"}
    print_outcome(separation.summary, rows, separation.notes(), json=request.json, quiet=request.quiet)
    return 0 if separation.model.converged else 1


def _check(request: Request) -> None:
    """Check the options that need no file."""
    alpha, weight, seed = (request.fit[name] for name in ("alpha", "weight", "seed"))
    exclude_model(request.model, request.fit)
    if isinstance(alpha, float) and not (alpha >= 0 and np.isfinite(alpha)):
        raise InputError(f"--alpha is {alpha:g}, expected a number of at least 0, or auto")
    if weight is not None and not (weight > 0 and np.isfinite(weight)):
        raise InputError(f"--weight is {weight:g}, expected a positive number")
    if seed is not None and seed < 0:
        raise InputError(f"--seed is {seed}, expected a whole number of at least 0")


def _separated(request: Request, start: float) -> Separation:
    """Read the data, fit or load the model, and separate them."""
    if request.model is not None:
        return _by_model(request, request.model, start)
    source = read_separable(request.path, request.reading, request.sampling)
    alpha, weight, seed = (request.fit[name] for name in ("alpha", "weight", "seed"))
    pace = _Pace(LEAST_SECONDS + SECONDS_PER_CELL * source.matrix.size * (1 if source.center is None else 2))
    with progress(not request.quiet, pace) as show, listening(show), in_options(("alpha", "weight")):
        model = SeparationModel.fit(source, alpha, weight, seed or 0, show)
    return Separation(source, model, *model.fitted_parts(source.matrix), time.perf_counter() - start)


def _by_model(request: Request, directory: Path, start: float) -> Separation:
    """Separate the rows of new data by an earlier model; columns of a table are found by name."""
    model, names = SeparationModel.load(directory)
    reading = request.reading if names is None else replace(request.reading, fitted=tuple(names))
    source = read_separable(request.path, reading, request.sampling)
    order = np.arange(source.matrix.shape[1])
    if names is not None and isinstance(source, SeparableTable):
        found = [column.name for column in source.table.fitted]
        order = np.array([found.index(name) for name in names])
    back = np.argsort(order)
    low_rank, sparse, mask = (part[:, back] for part in model.parts(source.matrix[:, order]))
    model = replace(model, scales=model.scales[back])
    return Separation(source, model, low_rank, sparse, mask, time.perf_counter() - start, str(directory))


def _write(request: Request, separation: Separation, folder: Path) -> list[str]:
    """Write all results and return their names."""
    parts = separation.write(folder)
    (folder / "summary.json").write_text(as_json(separation.summary) + "\n", encoding="utf-8")
    name = request.path.resolve().name
    write_separation_report(folder / "report.html", separation.reported(name, request.command))
    names = [*parts, "report.html", "summary.json"]
    return names if request.model else [*names, separation.model.save(folder)]


def _rows(separation: Separation) -> dict[str, str]:
    """Return the rows of the printed table."""
    summary = separation.summary
    share = f"{number(100 * summary['error_share'], 2)} % of {counted(summary['n_known'], summary['unit'])}"
    noise = "none" if summary["sigma"] == 0 else number(summary["sigma"])
    if summary["kind"] in ("image", "frames", "video") and summary["sigma"]:
        noise = f"{number(255 * summary['sigma'], 2)} grey levels of 255"
    elif summary["kind"] == "table" and summary["sigma"]:
        noise += " robust standard deviations of a column"
    return {
        "gross errors": f"{counted(summary['n_errors'], summary['unit'])}, {share}",
        "low-rank part": f"rank {summary['rank']}",
        "noise": noise,
        "status": summary["status"].replace("_", " "),
    }
