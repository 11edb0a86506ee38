"""``flatmin recover``: solve the problem in a file and write a directory of results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from flatmin._core.progress import Approach, progress
from flatmin.cli.answer_files import AnswerFiles, write_answer_files
from flatmin.cli.commands.prove import theorems
from flatmin.cli.noise_hints import data_hints, noise_hints
from flatmin.cli.options import ProblemFile, in_options
from flatmin.cli.output import destination, results_directory
from flatmin.cli.recovery_summary import as_json, print_outcome, summarize
from flatmin.cli.recovery_table import recovery_rows
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case
from flatmin.formats.sdpa_sparse import NUCLEAR
from flatmin.proofs.exact import Proof, prove
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.report import SolvedProblem, write_report
from flatmin.report.words import unmeasured
from flatmin.solution import Solution
from flatmin.solvers import flat_minimum

__all__ = ["Request", "run"]


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin recover``; ``command`` is the command line, for the report."""

    problem: ProblemFile
    output: Path | None
    #: Keyword arguments of `flatmin.flat_minimum`.
    settings: Mapping[str, Any]
    #: Whether to look for a solution of lower rank as well.
    reweight: bool
    #: Whether to prove theorems as well.
    prove: bool
    json: bool
    quiet: bool
    command: str


def run(request: Request) -> int:
    """Recover, write the results, print the outcome, and return the exit status."""
    family, case = request.problem.read()
    if request.reweight and request.settings["alpha"]:
        raise InputError("--reweight fits the data exactly, expected no --alpha")
    if request.reweight and case.problem.loss.has_gross_errors:
        raise InputError(f"--reweight is for models without gross errors, found {family.name}")
    if request.prove:
        _check_provable(request, case)
    target = destination(request.output, request.problem.path, request.problem.mask)
    if not request.quiet:  # before a solve that may take long
        for hint in data_hints(case.problem):
            print(f"flatmin: {hint}", file=sys.stderr)
    with results_directory(target) as folder:
        recovery = _recovered(request, family, case)
        written = recovery.write(folder)
    rows = recovery_rows(case.problem, recovery.solution, recovery.summary, f"{target}: {', '.join(written)}")
    notes = _notes(request, case, recovery)
    print_outcome(recovery.summary, rows, notes, json=request.json, quiet=request.quiet)
    return 0 if recovery.solution.status.certified else 1


def _notes(request: Request, case: Case, recovery: _Recovery) -> Iterator[str]:
    """Yield the sentences for stderr."""
    yield from _about_noise(request, case)
    if case.document and NUCLEAR in case.document.notes and request.settings["metric_power"]:
        yield NUCLEAR
    yield from recovery.hints
    yield from unmeasured(case.problem.metric)


def _recovered(request: Request, family: Family, case: Case) -> _Recovery:
    """Solve the problem; --reweight also looks for a solution of lower rank, --prove for theorems."""
    lowest, settings = None, request.settings
    words = Approach(settings["tol"], settings["time_limit"])
    with progress(not request.quiet, words) as callback, in_options(settings):
        solution = flat_minimum(case.problem, **settings, callback=callback)
        if request.reweight:
            from flatmin.solvers.lowest_rank.reweighting import reweighted_minimum

            shared = {name: settings[name] for name in ("max_rank", "tol", "max_iter", "time_limit", "seed")}
            lowest = reweighted_minimum(case.problem, **shared, warm_start=solution, callback=callback)
    proof, refusal = None, None
    try:
        proof = prove(case.problem, solution) if request.prove else None
    except InputError as error:  # the solution is too far from what could be proved; its results are written
        refusal = f"no theorem was proved: {error}"
    parts = {} if family.parts is None else family.parts(case.problem, solution)
    if "sparse" in solution.parts:
        parts["low_rank"] = solution.matrix
    solution = replace(solution, parts={**solution.parts, **parts})
    return _Recovery(request, family, case, solution, lowest, proof, refusal)


def _about_noise(request: Request, case: Case) -> list[str]:
    """Return a sentence about the command for noisy data if the input is a table or, for robust PCA, frames."""
    kind, robust = case.document.kind if case.document else "", case.problem.loss.has_gross_errors
    if not (kind == "table" or (robust and kind == "frames")):
        return []
    verb, noun = "separate" if robust else "impute", "a noisy table" if kind == "table" else "noisy frames"
    return [f"recover is for exact measurements; for {noun} use flatmin {verb} {request.problem.path.name}"]


def _check_provable(request: Request, case: Case) -> None:
    """Raise `InputError` before the problem is solved if there are no theorems about it."""
    alpha, power = (request.settings[name] for name in ("alpha", "metric_power"))
    ExplicitProblem.from_problem(case.problem, 1.0 if isinstance(alpha, str) else alpha, power)


@dataclass(frozen=True, eq=False)
class _Recovery:
    """A request with its problem and solutions. The file of the solution has the loss and all parts of the answer."""

    request: Request
    family: Family
    case: Case
    solution: Solution
    lowest: Solution | None
    proof: Proof | None
    #: Why there is no proof although the user asked for one.
    refusal: str | None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields of ``summary.json``."""
        summary = summarize(self.family, self.case.problem, self.solution, self.case.truth, self.lowest)
        return summary | {"proof": None if self.proof is None else theorems(self.proof)}

    @cached_property
    def hints(self) -> list[str]:
        """Sentences about noise and about a refused proof, for the report and for stderr."""
        return noise_hints(self.case.problem, self.solution) + ([] if self.refusal is None else [self.refusal])

    def write(self, folder: Path) -> list[str]:
        """Write all results and return their names, the answer in the user's form first."""
        answer = write_answer_files(folder, self.case, self.solution)
        self.solution.save(folder / "solution.npz")
        (folder / "summary.json").write_text(as_json(self.summary) + "\n", encoding="utf-8")
        write_report(folder / "report.html", self._reported(answer))
        names = [*answer.names, "report.html", "summary.json", "solution.npz"]
        if self.proof is not None:
            names += ["proof.json", self.proof.save(folder / "proof.json").name]
        if self.lowest is not None:
            self.lowest.save(folder / "reweighted.npz")
            names.append("reweighted.npz")
        return names

    def _reported(self, answer: AnswerFiles) -> SolvedProblem:
        """Return the solved problem, with its pictures, for the report."""
        document = self.case.document
        kind = document.kind if document else "matrix" if answer.picture is None else "image"
        return SolvedProblem(
            family=self.family,
            problem=self.case.problem,
            solution=self.solution,
            summary=self.summary,
            truth=self.case.truth,
            command=self.request.command,
            input_name=self.request.problem.path.resolve().name,
            kind=kind,
            image=answer.picture,
            observed_image=answer.observed,
            row_labels=document.row_labels if document else None,
            column_labels=document.column_labels if document else None,
            notes=[*(document.notes if document else []), *answer.notes, *data_hints(self.case.problem), *self.hints],
            picture=None if document is None else document.picture,
            proof=self.proof,
        )
