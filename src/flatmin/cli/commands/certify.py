"""``flatmin certify`` and ``flatmin flatness``: the quality of a solution from any program."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flatmin
from flatmin.cli.options import ProblemFile, in_options, option_name, with_loss
from flatmin.cli.recovery_summary import as_json, print_table
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.archive import read_solution
from flatmin.problem import Problem
from flatmin.proofs.objective import Objective
from flatmin.report.vocabulary import vocabulary_of
from flatmin.report.words import judgement

__all__ = ["Request", "certify", "flatness"]

#: Seconds after which a long computation is announced.
PATIENCE = 2.0


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin certify``."""

    file: ProblemFile
    solution: Path
    #: The objective that was typed, alpha and metric_power; None for an option that was not typed.
    penalty: Mapping[str, float | None]
    #: Whether to take the objective from the file.
    as_claimed: bool
    json: bool
    deterministic: bool
    time_limit: float | None


def certify(request: Request) -> int:
    """Print what can be proved about a solution file; the exit status is 0 only if the certificate holds."""
    family, case = request.file.read()
    saved = read_solution(request.solution, family, case.problem)
    problem, objective = _asked(request, family, case.problem, saved.stated)
    candidate = saved.answer if saved.factors is None else saved.factors
    with (
        _announced(f"{request.solution} has no dual vector: looking for one", saved.dual is None),
        in_options(("time_limit",)),
    ):
        proof = flatmin.certify(
            problem,
            candidate,
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
        print_table(fields)
    return 0 if proof.holds else 1


def _asked(request: Request, family: Family, problem: Problem, stated: Objective | None) -> tuple[Problem, Objective]:
    """Return the problem and the objective to judge, or raise `InputError` if the file states another objective."""
    options = {**request.penalty, **request.file.loss}
    typed = {name: value for name, value in options.items() if value is not None}
    if request.as_claimed:
        for name in typed:
            raise InputError(f"{option_name(name)} and --as-claimed exclude each other, expected one of them")
        if stated is None:
            expected = "expected a file that flatmin wrote"
            raise InputError(f"--as-claimed was typed, but {request.solution} states no objective, {expected}")
        loss = {"tau": stated.tau} if stated.tau is not None else {"weight": stated.weight}
        return with_loss(problem, family, loss), stated
    penalty = {name: value for name, value in request.penalty.items() if value is not None}
    with in_options(penalty):
        asked = Objective.of(problem, **penalty)
    for name, (found, wanted) in ({} if stated is None else stated.differences(asked)).items():
        remedy = f"{option_name(name)} {found!r}" if found is not None else f"no {option_name(name)}"
        raise InputError(
            f"{request.solution} minimises with {name} {found!r}, asked was {wanted!r}; "
            f"expected {remedy}, or --as-claimed to judge what the file states"
        )
    return problem, asked


@contextmanager
def _announced(text: str, wanted: bool) -> Iterator[None]:
    """Print the text on stderr if the block takes longer than `PATIENCE`."""
    timer = threading.Timer(PATIENCE, print, (text,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    if wanted:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def flatness(file: ProblemFile, solution: Path, json: bool) -> int:
    """Print how flat the factors in a solution file are. It depends on no statement of the file."""
    family, case = file.read()
    problem = case.problem
    saved = read_solution(solution, family, problem)
    if saved.factors is None:
        expected = " and ".join(problem.parametrization.names)
        raise InputError(f"{solution} has no factors, expected {expected}: flatness is a property of factors")
    fields = vars(flatmin.flatness(problem, saved.factors))
    if json:
        print(as_json(fields))
    else:
        print_table(fields)
    return 0
