"""The recovered unknown in pictures, and what is said about unmeasured rows and columns."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.report import SolvedProblem
from flatmin.report.answers import heat_maps, images, matrix_answer, missing, unseen


@pytest.fixture
def solved():
    family = fm.families.find("matrix-completion")
    rows, cols = np.nonzero(np.ones((5, 4)))
    measured = rows > 0
    truth = np.outer(np.arange(1.0, 6), np.arange(1.0, 5))
    entries = fm.measurements.Entries(rows[measured], cols[measured], (5, 4))
    problem = fm.Problem(entries, truth[1:].ravel())
    return SolvedProblem(family, problem, fm.flat_minimum(problem), {}, truth, row_labels=list("abcde"))


def test_unmeasured_rows_are_named(solved):
    assert unseen(solved) == ["Undetermined: no measurement sees 1 row (a). The solution is zero there."]


def test_there_are_maps_of_the_data_the_solution_and_the_truth(solved):
    assert [figure.title for figure in heat_maps(solved)] == ["Observed", "Recovered", "The truth"]
    (section,) = matrix_answer(solved)
    assert (section.name, section.title) == ("answer", "The recovered matrix")
    assert "5 × 4 entries and rank 1" in section.prose[0]


def test_missing_pixels_are_counted():
    pixels = np.array([[0.5, np.nan], [0.1, 0.2]])
    assert missing(pixels) == "25 % of the pixels are missing (blue)."
    assert [figure.title for figure in images(pixels, np.ones((2, 2)))] == ["Observed", "Recovered"]
