"""``flatmin recover``: from a file to a directory of results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flatmin._core.progress import Approach, progress
from flatmin.cli.answer_files import AnswerFiles, write_answer_files
from flatmin.cli.noise_hints import noise_hints
from flatmin.cli.options import ProblemFile, in_options
from flatmin.cli.output import destination, results_directory
from flatmin.cli.recovery_table import recovery_rows
from flatmin.cli.summary import as_json, print_table, summarize
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case
from flatmin.report.words import unmeasured
from flatmin.solution import Solution
from flatmin.solvers import flat_minimum

__all__ = ["Request", "run"]


@dataclass(frozen=True)
class Request:
    """What the user typed.

    Attributes
    ----------
    problem : ProblemFile
        What to solve.
    output : Path or None
        Where results go.
    settings : dict
        Keyword arguments of `flatmin.flat_minimum`.
    reweight : bool
        Whether to look for a lower rank as well.
    json, quiet : bool
        What to print.
    command : str
        The command itself, to repeat it.
    """

    problem: ProblemFile
    output: Path | None
    settings: Mapping[str, Any]
    reweight: bool
    json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Recover, write the results, print the outcome, and return the exit status."""
    family, case = request.problem.read()
    if request.reweight and request.settings["alpha"]:
        raise InputError("--reweight fits the data exactly, expected no --alpha beside it")
    if request.reweight and case.problem.loss.has_gross_errors:
        raise InputError(f"--reweight goes with data that are to be fitted, found {family.name}")
    target = destination(request.output, request.problem.path, request.problem.mask)
    with results_directory(target) as folder:
        words = Approach(request.settings["tol"], request.settings["time_limit"])
        with progress(not request.quiet, words) as callback, in_options(request.settings):
            solution = flat_minimum(case.problem, **request.settings, callback=callback)
            lowest = _reweighted(case, request, solution, callback) if request.reweight else None
        solution = _complete(family, case, request, solution)
        summary = summarize(family, case.problem, solution, case.truth, lowest)
        hints = noise_hints(case.problem, solution)
        written = _write(folder, request, family, case, solution, lowest, summary, hints)
    if request.json:
        print(as_json(summary))
    elif not request.quiet:
        print_table(recovery_rows(case.problem, solution, summary, f"{target}: {', '.join(written)}"))
    if not request.quiet:
        for hint in [*hints, *unmeasured(case.problem.metric)]:
            print(f"flatmin: {hint}", file=sys.stderr)
    return 0 if solution.status.certified else 1


def _reweighted(case: Case, request: Request, flat: Solution, callback: Any) -> Solution:
    """Return a solution of lower rank if one is found; it is not flat."""
    from flatmin.solvers.lowest_rank.reweighting import reweighted_minimum

    names = ("max_rank", "tol", "max_iter", "time_limit", "seed")
    settings = {name: request.settings[name] for name in names}
    return reweighted_minimum(case.problem, **settings, warm_start=flat, callback=callback)


def _complete(family: Family, case: Case, request: Request, solution: Solution) -> Solution:
    """Return the solution with what its file needs to be judged and to be used: the loss, and parts of the answer."""
    loss = {name: value for name, value in request.problem.loss.items() if value is not None}
    parts = {} if family.parts is None else family.parts(case.problem, solution)
    if "sparse" in solution.parts:
        parts["low_rank"] = solution.matrix
    return replace(solution, settings={**solution.settings, **loss}, parts={**solution.parts, **parts})


def _write(
    folder: Path,
    request: Request,
    family: Family,
    case: Case,
    solution: Solution,
    lowest: Solution | None,
    summary: dict[str, Any],
    hints: list[str],
) -> list[str]:
    """Write all results and return their names, the answer in the user's form first."""
    from flatmin.report import write_report

    answer = write_answer_files(folder, case, solution)
    solution.save(folder / "solution.npz")
    if lowest is not None:
        lowest.save(folder / "reweighted.npz")
    (folder / "summary.json").write_text(as_json(summary) + "\n", encoding="utf-8")
    notes = [*(case.document.notes if case.document else []), *answer.notes, *hints]
    write_report(folder / "report.html", _context(request, family, case, solution, summary, answer, notes))
    others = ["reweighted.npz"] if lowest is not None else []
    return [*answer.names, "report.html", "summary.json", "solution.npz", *others]


def _context(
    request: Request,
    family: Family,
    case: Case,
    solution: Solution,
    summary: dict[str, Any],
    answer: AnswerFiles,
    notes: list[str],
) -> Any:
    from flatmin.report import SolvedProblem

    document = case.document
    kind = document.kind if document else "matrix"
    return SolvedProblem(
        family=family,
        problem=case.problem,
        solution=solution,
        summary=summary,
        truth=case.truth,
        command=request.command,
        input_name=request.problem.path.resolve().name,
        kind="image" if document is None and answer.picture is not None else kind,
        image=answer.picture,
        observed_image=answer.observed,
        row_labels=document.row_labels if document else None,
        column_labels=document.column_labels if document else None,
        notes=notes,
        picture=None if document is None else document.picture,
    )
