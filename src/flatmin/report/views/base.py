"""View: the parts of a report that a family can define."""

from collections.abc import Callable
from dataclasses import dataclass

from flatmin.report.answers import matrix_answer
from flatmin.report.page import Fact, Section
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.words import counted

__all__ = ["View"]


def _of_a_matrix(solved: SolvedProblem) -> str:
    """Return the number of measurements and the shape of the matrix."""
    d1, d2 = solved.problem.shape
    return f"{counted(solved.problem.measurement.size, 'measurement')} of a {d1} × {d2} matrix"


def _nothing(solved: SolvedProblem) -> list[Fact]:
    """Return no more facts."""
    return []


def _no_words(solved: SolvedProblem) -> str:
    """Return no sentence about the radius."""
    return ""


@dataclass(frozen=True)
class View:
    """The parts of a report that a family can define.

    Attributes
    ----------
    answer : callable
        ``answer(solved) -> list of Section``: the recovered unknown in pictures. The first section is named "answer".
    measured : callable
        ``measured(solved) -> str``: a phrase about the data.
    highlights : callable
        ``highlights(solved) -> list of Fact``: the most important facts of this family.
    within : callable
        ``within(solved) -> str``: a sentence about what the certified radius means for the answer, or "".
    """

    answer: Callable[[SolvedProblem], list[Section]] = matrix_answer
    measured: Callable[[SolvedProblem], str] = _of_a_matrix
    highlights: Callable[[SolvedProblem], list[Fact]] = _nothing
    within: Callable[[SolvedProblem], str] = _no_words
