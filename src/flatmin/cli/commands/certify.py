"""``flatmin certify`` and ``flatmin flatness``: the quality of a solution from any program."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flatmin
from flatmin.cli.options import ProblemFile, with_loss
from flatmin.cli.recovery_summary import as_json, print_table
from flatmin.errors import InputError
from flatmin.formats.archive import SavedSolution, read_solution
from flatmin.problem import Problem
from flatmin.report.vocabulary import vocabulary_of
from flatmin.report.words import judgement

__all__ = ["certify", "flatness"]

#: Seconds after which a long computation is announced.
PATIENCE = 2.0


def certify(file: ProblemFile, solution: Path, json: bool, deterministic: bool, time_limit: float | None) -> int:
    """Print what can be proved about a solution file; the exit status is 0 only if the certificate holds."""
    problem, saved = _read(file, solution)
    candidate = saved.answer if saved.factors is None else saved.factors
    settings: dict[str, Any] = {**saved.settings, "randomized": not deterministic, "time_limit": time_limit}
    with _announced(f"{solution} has no dual vector: looking for one", saved.dual is None):
        proof = flatmin.certify(problem, candidate, saved.dual, uniqueness_dual=saved.uniqueness_dual, **settings)
    if json:
        print(as_json(proof.scalars()))
    else:
        print(judgement(proof, vocabulary_of(problem, proof, saved.settings.get("metric_power", 1.0))))
        print_table(proof.scalars())
    return 0 if proof.holds else 1


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
    """Print how flat the factors in a solution file are."""
    problem, saved = _read(file, solution)
    if saved.factors is None:
        expected = " and ".join(problem.parametrization.names)
        raise InputError(f"{solution} has no factors, expected {expected}: flatness is a property of factors")
    fields = vars(flatmin.flatness(problem, saved.factors))
    if json:
        print(as_json(fields))
    else:
        print_table(fields)
    return 0


def _read(file: ProblemFile, solution: Path) -> tuple[Problem, SavedSolution]:
    family, case = file.read()
    saved = read_solution(solution, family, case.problem)
    return with_loss(case.problem, family, saved.loss), saved
