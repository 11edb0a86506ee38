"""The default view of a family."""

import flatmin as fm
from flatmin.report import SolvedProblem
from flatmin.report.views import View


def test_a_family_without_a_view_is_shown_as_a_matrix():
    family, view = fm.families.find("matrix-sensing"), View()
    problem = family.sample((6, 5), 1, 30).problem
    solved = SolvedProblem(family, problem, fm.flat_minimum(problem), {})
    assert view.measured(solved) == "30 measurements of a 6 × 5 matrix"
    assert view.answer(solved)[0].title == "The recovered matrix"
    assert (view.highlights(solved), view.within(solved)) == ([], "")
