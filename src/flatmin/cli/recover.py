"""``flatmin recover``: from a file to a directory of results."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatmin import families
from flatmin.cli.options import in_options
from flatmin.cli.output import destination, results_directory
from flatmin.cli.progress import progress
from flatmin.cli.summary import advice, as_json, print_table, summarize, uniqueness_in_words
from flatmin.families import Family
from flatmin.formats.case import Case, read_case
from flatmin.report.words import unmeasured
from flatmin.solution import LARGEST_SAVED_MATRIX, Solution
from flatmin.solvers import flat_minimum

__all__ = ["Request", "run"]


@dataclass(frozen=True)
class Request:
    """What the user typed.

    Attributes
    ----------
    family : str
        Name of the model.
    input, output, mask : Path or None
        Files.
    settings : dict
        Keyword arguments of `flatmin.flat_minimum`.
    json, quiet : bool
        What to print.
    command : str
        The command itself, to repeat it.
    """

    family: str
    input: Path
    output: Path | None
    settings: Mapping[str, Any]
    mask: Path | None
    json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Recover, write the results, print the outcome, and return the exit status."""
    family = families.find(request.family)
    case = read_case(family, request.input, request.mask)
    target = destination(request.output, request.input, request.mask)
    with results_directory(target) as folder:
        with progress(not request.quiet) as callback, in_options(request.settings):
            solution = flat_minimum(case.problem, **request.settings, callback=callback)
        summary = summarize(family, case.problem, solution, case.truth)
        hints = advice(case.problem, solution)
        notes = [*(case.document.notes if case.document else []), *hints]
        written = _write(folder, request, family, case, solution, summary, notes)
    if request.json:
        print(as_json(summary))
    elif not request.quiet:
        _print_outcome(solution, summary, target, written)
    if not request.quiet:
        for hint in [*hints, *unmeasured(case.problem.metric)]:
            print(f"flatmin: {hint}", file=sys.stderr)
    return 0 if solution.status.certified else 1


def _write(
    folder: Path,
    request: Request,
    family: Family,
    case: Case,
    solution: Solution,
    summary: dict[str, Any],
    notes: list[str],
) -> list[str]:
    """Write all results and return their names, the answer in the user's form first."""
    from flatmin.report import ReportContext, write_report

    names, document, image, observed = [], case.document, None, None
    d1, d2 = case.problem.shape
    if document is not None and document.sparse and d1 * d2 > LARGEST_SAVED_MATRIX:
        notes.append(f"The completed matrix has {d1 * d2} entries and was not written; it is L Rᵀ of solution.npz.")
    elif document is not None:
        names.append(document.write(folder / "completed", solution.matrix).name)
        image = document.picture(document.cells.keep(solution.matrix))
        observed = document.picture(document.cells.dense())
    solution.save(folder / "solution.npz")
    (folder / "summary.json").write_text(as_json(summary) + "\n", encoding="utf-8")
    context = ReportContext(
        family=family,
        problem=case.problem,
        solution=solution,
        summary=summary,
        truth=case.truth,
        command=request.command,
        input_name=request.input.name,
        kind=document.kind if document else "matrix",
        image=image,
        observed_image=observed,
        row_labels=document.row_labels if document else None,
        column_labels=document.column_labels if document else None,
        notes=notes,
    )
    write_report(folder / "report.html", context)
    return [*names, "report.html", "summary.json", "solution.npz"]


def _print_outcome(solution: Solution, summary: Mapping[str, Any], target: Path, written: list[str]) -> None:
    proof = solution.certificate
    rows = {
        "status": f"{solution.status.name}: {solution.status.value}",
        "rank": summary["rank"],
        "relative gap": f"{proof.relative_gap:.1e}",
        "relative residual": f"{proof.relative_residual:.1e}",
        "unique": uniqueness_in_words(proof),
        "scaled trace": summary["scaled_trace"],
        "seconds": f"{solution.seconds:.2f}",
    }
    if "relative_error" in summary:
        rows["relative error"] = summary["relative_error"]
    for name, what in (("undetermined_rows", "rows"), ("undetermined_cols", "columns")):
        if summary[name]:
            rows[f"unobserved {what}"] = f"{len(summary[name])}, filled with zeros"
    rows["results"] = f"{target}: {', '.join(written)}"
    print_table(rows)
