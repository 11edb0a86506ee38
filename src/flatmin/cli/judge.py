"""``flatmin certify`` and ``flatmin flatness``: the quality of a solution, whoever made it."""

from __future__ import annotations

from pathlib import Path

import flatmin
from flatmin import families
from flatmin.cli.summary import as_json, print_table
from flatmin.errors import InputError
from flatmin.formats.archive import read_solution
from flatmin.formats.case import read_case
from flatmin.report.words import judgement

__all__ = ["certify", "flatness"]


def certify(family: str, input: Path, solution: Path, json: bool) -> int:
    """Print what can be proved about a solution file; the exit status is 0 only if the certificate holds."""
    problem = read_case(families.find(family), input).problem
    saved = read_solution(solution, problem)
    candidate = saved.matrix if saved.factors is None else saved.factors
    proof = flatmin.certify(problem, candidate, saved.dual, alpha=saved.alpha, metric_power=saved.metric_power)
    if json:
        print(as_json(proof.scalars()))
    else:
        print(judgement(proof))
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
