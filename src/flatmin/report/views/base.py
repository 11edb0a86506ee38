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
    """The parts of a report that a family can define."""

    #: The recovered unknown in pictures; the first section is named "answer".
    answer: Callable[[SolvedProblem], list[Section]] = matrix_answer
    #: A phrase about the data, such as the number of measurements and the shape of the matrix.
    measured: Callable[[SolvedProblem], str] = _of_a_matrix
    #: The most important facts of this family.
    highlights: Callable[[SolvedProblem], list[Fact]] = _nothing
    #: A sentence about what the certified radius means for the answer, or "".
    within: Callable[[SolvedProblem], str] = _no_words
