"""``flatmin certify`` and ``flatmin flatness``: the quality of a solution from any program."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import flatmin
from flatmin.cli.options import ProblemFile, in_options
from flatmin.cli.recovery_summary import as_json, print_table
from flatmin.cli.solution_file import SolutionFile, announced
from flatmin.errors import InputError
from flatmin.formats.archive import read_solution
from flatmin.report.vocabulary import vocabulary_of
from flatmin.report.words import judgement

__all__ = ["Request", "certify", "flatness"]

#: The numbers of flatness that are infinite only if they overflow.
FINITE = ("loss", "hessian_trace", "gauss_newton_trace", "scaled_trace", "fibre_minimum", "balance")


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin certify``."""

    solution: SolutionFile
    json: bool
    deterministic: bool
    time_limit: float | None


def certify(request: Request) -> int:
    """Print what can be proved about a solution file; the exit status is 0 only if the certificate holds."""
    problem, objective, saved = request.solution.read()
    with (
        announced(f"{request.solution.solution} has no dual vector: looking for one", saved.dual is None),
        in_options(("time_limit",)),
    ):
        proof = flatmin.certify(
            problem,
            saved.candidate,
            saved.dual,
            uniqueness_dual=saved.uniqueness_dual,
            alpha=objective.alpha,
            metric_power=objective.metric_power,
            randomized=not request.deterministic,
            time_limit=request.time_limit,
        )
    fields = {"holds": proof.holds, "objective": proof.objective, **vars(objective), **proof.scalars()}
    if request.json:
        print(as_json(fields))
    else:
        print(judgement(proof, vocabulary_of(problem, proof, objective.metric_power)))
        if request.solution.as_claimed:
            print("This is about the objective that the file states, see alpha, metric_power, weight and tau below.")
        print_table(fields)
    return 0 if proof.holds else 1


def flatness(file: ProblemFile, solution: Path, json: bool) -> int:
    """Print how flat the factors in a solution file are. Of the file, only the factors are used."""
    family, case = file.read()
    problem = case.problem
    saved = read_solution(solution, family, problem)
    if saved.factors is None:
        expected = " and ".join(problem.parametrization.names)
        raise InputError(f"{solution} has no factors, expected {expected}: flatness is a property of factors")
    with np.errstate(over="ignore", invalid="ignore"):
        fields = vars(flatmin.flatness(problem, saved.factors))
    for name in FINITE:
        if fields[name] is not None and not math.isfinite(fields[name]):
            raise InputError(f"the {name} of {solution} is too large for a floating-point number; rescale the data")
    if json:
        print(as_json(fields))
    else:
        print_table(fields)
    return 0
