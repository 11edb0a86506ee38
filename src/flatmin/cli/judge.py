"""``flatmin certify`` and ``flatmin flatness``: the quality of a solution, whoever made it."""

from __future__ import annotations

from pathlib import Path

import flatmin
from flatmin import families
from flatmin.certificates import Certificate, certificate_of
from flatmin.cli.summary import as_json, print_table
from flatmin.errors import InputError
from flatmin.formats.archive import SavedSolution, read_solution
from flatmin.formats.case import read_case
from flatmin.problem import Problem

__all__ = ["certify", "flatness"]


def certify(family: str, input: Path, solution: Path, json: bool) -> int:
    """Print what can be proved about a solution file; the exit status is 0 only if the certificate holds."""
    problem = read_case(families.find(family), input).problem
    proof = _proof(problem, read_solution(solution, problem))
    if json:
        print(as_json(proof.scalars()))
    else:
        print_table(proof.scalars())
    return 0 if proof.holds else 1


def flatness(family: str, input: Path, solution: Path, json: bool) -> int:
    """Print how flat the factors in a solution file are."""
    problem = read_case(families.find(family), input).problem
    saved = read_solution(solution, problem)
    if saved.factors is None:
        expected = " and ".join(problem.parametrization.names)
        raise InputError(f"{solution} has only the matrix, expected {expected}: flatness belongs to factors")
    fields = vars(flatmin.flatness(problem, saved.factors))
    if json:
        print(as_json(fields))
    else:
        print_table(fields)
    return 0


def _proof(problem: Problem, saved: SavedSolution) -> Certificate:
    """Return the certificate of a saved solution, for the objective it was made with."""
    alpha, power = float(saved.settings.get("alpha", 0.0)), float(saved.settings.get("metric_power", 1.0))
    if alpha > 0 and saved.factors is not None and saved.dual is not None:
        return certificate_of(problem, saved.factors, saved.dual, alpha=alpha, metric_power=power)
    return flatmin.certify(
        problem, saved.matrix if saved.factors is None else saved.factors, saved.dual, metric_power=power
    )
