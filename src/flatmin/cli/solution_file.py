"""A solution file on the command line: from any program, together with the objective that it is judged by."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flatmin.cli.options import ProblemFile, in_options, option_name, with_loss
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.archive import SavedSolution, read_solution
from flatmin.problem import Problem
from flatmin.proofs.objective import Objective

__all__ = ["SolutionFile", "announced"]

#: Seconds after which a long computation is announced.
PATIENCE = 2.0


@dataclass(frozen=True)
class SolutionFile:
    """The options that name a solution of a problem, and the objective that it shall minimise."""

    file: ProblemFile
    solution: Path
    #: The objective that was typed, alpha and metric_power; None for an option that was not typed.
    penalty: Mapping[str, float | None]
    #: Whether to take the objective from the file.
    as_claimed: bool

    def read(self) -> tuple[Problem, Objective, SavedSolution]:
        """Return problem, objective and solution, or raise `InputError` if the file states another objective."""
        family, case = self.file.read()
        saved = read_solution(self.solution, family, case.problem)
        problem, objective = self._asked(family, case.problem, saved.stated)
        return problem, objective, saved

    def _asked(self, family: Family, problem: Problem, stated: Objective | None) -> tuple[Problem, Objective]:
        options = {**self.penalty, **self.file.loss}
        typed = {name: value for name, value in options.items() if value is not None}
        if self.as_claimed:
            for name in typed:
                raise InputError(f"{option_name(name)} and --as-claimed exclude each other, expected one of them")
            if stated is None:
                expected = "expected a file that flatmin wrote"
                raise InputError(f"--as-claimed was typed, but {self.solution} states no objective, {expected}")
            loss = {"tau": stated.tau} if stated.tau is not None else {"weight": stated.weight}
            return with_loss(problem, family, loss), stated
        penalty = {name: value for name, value in self.penalty.items() if value is not None}
        with in_options(penalty):
            asked = Objective.from_problem(problem, **penalty)
        for name, phrase in ({} if stated is None else stated.differences(asked)).items():
            found = getattr(stated, name)
            remedy = f"{option_name(name)} {found!r}" if found is not None else f"no {option_name(name)}"
            raise InputError(
                f"{self.solution} {phrase}; expected {remedy}, or --as-claimed to judge what the file states"
            )
        return problem, asked


@contextmanager
def announced(text: str, wanted: bool = True) -> Iterator[None]:
    """Print the text on stderr if the block takes longer than `PATIENCE`."""
    timer = threading.Timer(PATIENCE, print, (text,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    if wanted:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
