"""The page about a solution: its sections and their order."""

from dataclasses import replace

import pytest

import flatmin as fm
from flatmin.report import SolvedProblem
from flatmin.report.sections import solution_page

USUAL = ["answer", "certificate", "radius", "limits", "search", "flatness", "repeat"]


def page(name, shape, rank, m, alpha=0.0, summary=None):
    family = fm.families.find(name)
    instance = family.sample(shape, rank, m, noise=0.05 if alpha else 0.0)
    solution = fm.flat_minimum(instance.problem, alpha=alpha)
    return solution_page(SolvedProblem(family, instance.problem, solution, summary or {}, instance.truth))


def test_the_order_of_the_sections():
    assert [section.name for section in page("matrix-sensing", (6, 5), 1, 30).sections] == USUAL


@pytest.mark.parametrize(("alpha", "summary", "name"), [("auto", {}, "noise"), (0.0, {"rank": 1}, "reweighted")])
def test_noise_and_reweighting_have_sections(alpha, summary, name):
    names = [s.name for s in page("matrix-sensing", (6, 5), 1, 60, alpha, {"reweighted": summary}).sections]
    assert names == [*USUAL[:3], name, *USUAL[3:]]


def test_the_highlights_depend_on_what_the_data_determine():
    gap = [fact.name for fact in page("matrix-sensing", (6, 5), 1, 30).highlights]
    determined = [fact.name for fact in page("covariance", (6, 6), 1, 40).highlights]
    assert {"Rank", "Relative gap", "Only flattest", "Time"} <= set(gap)
    assert {"Rank", "Only solution"} <= set(determined)
    assert "Relative gap" not in determined


def test_an_uncertified_solution_is_not_good_news():
    family = fm.families.find("matrix-sensing")
    problem = family.sample((6, 5), 1, 30).problem
    solution = fm.flat_minimum(problem)
    failed = replace(solution, status=fm.Status.not_certified)
    assert not solution_page(SolvedProblem(family, problem, failed, {})).verdict.good
