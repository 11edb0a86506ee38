"""What a family may change about its report."""

from collections.abc import Callable
from dataclasses import dataclass

from flatmin.report.answers import matrix_answer
from flatmin.report.page import Fact, Section
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.words import counted

__all__ = ["View"]


def _of_a_matrix(solved: SolvedProblem) -> str:
    """Return how many measurements there are of which matrix."""
    d1, d2 = solved.problem.shape
    return f"{counted(solved.problem.measurement.size, 'measurement')} of a {d1} × {d2} matrix"


def _nothing(solved: SolvedProblem) -> list[Fact]:
    """Return no more facts."""
    return []


def _no_words(solved: SolvedProblem) -> str:
    """Return nothing: the radius speaks for itself."""
    return ""


@dataclass(frozen=True)
class View:
    """How the report of a family shows its answer.

    Attributes
    ----------
    answer : callable
        ``answer(solved) -> list of Section``: what was recovered, in pictures; the first one is called "answer".
    measured : callable
        ``measured(solved) -> str``: what is known of what, in a phrase.
    highlights : callable
        ``highlights(solved) -> list of Fact``: what matters most beside rank, proof and time.
    within : callable
        ``within(solved) -> str``: what the certified radius means for what the user sees, a sentence or nothing.
    """

    answer: Callable[[SolvedProblem], list[Section]] = matrix_answer
    measured: Callable[[SolvedProblem], str] = _of_a_matrix
    highlights: Callable[[SolvedProblem], list[Fact]] = _nothing
    within: Callable[[SolvedProblem], str] = _no_words
