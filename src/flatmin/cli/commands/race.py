"""``flatmin race``: train by many algorithms, and compare them with the certified flattest value."""

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatmin._core.progress import progress
from flatmin._version import __version__
from flatmin.cli.options import ProblemFile, in_options
from flatmin.cli.output import RACE, SUMMARY_VERSION, destination, results_directory
from flatmin.cli.race.pace import RacePace
from flatmin.cli.race.runs import STORE, Runs, kept_runs
from flatmin.cli.recovery_summary import as_json, plain
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case
from flatmin.report.words import counted

__all__ = ["Request", "print_competitors", "run"]

#: The smallest allowed value of each setting that is a whole number.
LEAST = {"budget": 1, "seeds": 1, "trials": 1, "jobs": 1, "seed": 0}
#: Pictures that a race may write, apart from their copies as SVG.
PICTURES = ("courses.png", "slices.png")
#: Columns of the printed table: the heading for each field.
PRINTED = {
    "flatness_gap": "gap",
    "relative_error": "error",
    "loss": "loss",
    "scaled_trace": "trace",
    "rank": "rank",
}


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin race``."""

    problem: ProblemFile
    output: Path | None
    #: Names separated by commas; None for all.
    competitors: str | None
    #: Keyword arguments of `flatmin.nn.race`.
    settings: Mapping[str, int | None]
    as_json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Run the race, write and print the results, and return the exit status."""
    settings = _settings(request)
    family, case = request.problem.read()
    target = destination(request.output, request.problem.path, request.problem.mask, kind=RACE)
    with kept_runs(target, not request.quiet) as runs:
        result = _race(case, settings, runs, not request.quiet)
        summary = summarize(family, case, result, request.settings["seed"])
        with results_directory(target) as folder:
            runs.copy(folder)
            _write(folder, request, family, case, result, summary)
    if request.as_json:
        print(as_json(summary))
    elif not request.quiet:
        _print_outcome(result, target)
    return 0 if summary["certificate_holds"] else 1


def summarize(family: Family, case: Case, result: Any, seed: int | None) -> dict[str, Any]:
    """Return the fields of ``summary.json``. A field that does not apply is None."""
    found = result.as_dict()
    fields = {
        "family": family.name,
        "shape": family.unknown_shape(case.problem),
        "n_measurements": case.problem.measurement.size,
        "flattest": found["flattest"],
        "certificate_holds": result.flattest.holds,
        "correlation": found["correlation"],
        "competitors": found["summary"],
        "left_out": found["left_out"],
        "protocol": found["protocol"],
        "seed": seed,
        "version": __version__,
        "format_version": SUMMARY_VERSION,
    }
    return {name: plain(value) for name, value in fields.items()}


def print_competitors() -> None:
    """Print all competitors with their claims."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "said to minimise", "source", box=None, pad_edge=False)
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ignore"
    known = _competitors()
    for competitor in map(known.find, known.names()):
        table.add_row(competitor.name, competitor.title, competitor.claims, competitor.source)
    Console(highlight=False).print(table)


def _competitors() -> Any:
    """Return the registry of competitors, or raise `InputError` if PyTorch is not installed."""
    try:
        from flatmin.lab.race import competitors
    except ImportError as error:
        raise InputError(str(error)) from error
    return competitors


def _settings(request: Request) -> dict[str, Any]:
    """Return the arguments of `flatmin.nn.race`, or raise `InputError`."""
    known = _competitors().names()
    for name, least in LEAST.items():
        value = request.settings[name]
        if value is not None and value < least:
            raise InputError(f"--{name} is {value}, expected a whole number of at least {least}")
    settings: dict[str, Any] = dict(request.settings)
    settings["jobs"] = settings["jobs"] or os.cpu_count() or 1
    if request.competitors is None:
        return settings
    names = list(dict.fromkeys(name for part in request.competitors.split(",") if (name := part.strip())))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "none"
        raise InputError(f"--competitors names {found}, expected one or more of {', '.join(known)}")
    return settings | {"competitors": names}


def _race(case: Case, settings: Mapping[str, Any], runs: Runs, shown: bool) -> Any:
    """Return the result of the race, which reuses the runs of a former race."""
    from flatmin.lab.race import CompetitorError, FactoredTask, Protocol, race

    with in_options(LEAST):
        task = FactoredTask(case.problem, case.truth)
        runs.take_over(task.digest)
        with progress(shown, RacePace(settings["trials"], settings["seeds"], Protocol.share)) as callback:
            try:
                return race(task, **settings, store=runs.file, callback=callback)
            except CompetitorError as error:
                raise InputError(f"{error}; the finished runs are kept in {runs.directory}") from error


def _write(folder: Path, request: Request, family: Family, case: Case, result: Any, summary: Mapping[str, Any]) -> None:
    """Write the table, the page and the summary."""
    from flatmin.lab.race.page import write_pictures, write_race

    write_pictures(folder, result)
    with (folder / "race.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(result.table[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(row | {"gradients": _count(row["gradients"])} for row in result.table)
    (folder / "summary.json").write_text(as_json(summary) + "\n", encoding="utf-8")
    size = " × ".join(str(d) for d in summary["shape"])
    write_race(
        folder / "report.html",
        result,
        title=request.problem.path.resolve().name,
        subtitle=f"{family.title}: {size} unknowns, {counted(summary['n_measurements'], 'measurement')}",
        command=request.command,
        notes=case.document.notes if case.document else [],
    )


def _print_outcome(result: Any, target: Path) -> None:
    """Print the verdict and the medians."""
    from rich.console import Console
    from rich.table import Table

    from flatmin.lab.race.page import Ranking, verdict

    ranking = Ranking(result)
    outcome = verdict(ranking)
    table = Table("competitor", *PRINTED.values(), "diverged", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in ranking.rows:
        numbers = (_digits(row[column]) for column in PRINTED)
        table.add_row(row["competitor"], *numbers, f"{row['diverged']} of {row['runs']}")
    console = Console(highlight=False)
    console.print(f"{outcome.headline} {outcome.advice}".strip(), markup=False)
    console.print(table)
    pictures = [name for name in PICTURES if (target / name).exists()]
    files = ", ".join(["report.html", *pictures, "race.csv", "summary.json", STORE])
    console.print(f"results  {target}: {files}", markup=False, soft_wrap=True)


def _count(value: float) -> float:
    """Return a number of gradients as an integer unless it ends with a half."""
    return int(value) if float(value).is_integer() else value


def _digits(value: float | None) -> str:
    return "–" if value is None else "∞" if math.isinf(value) else f"{value:.3g}"
