"""The table that ``flatmin recover`` prints."""

import numpy as np

import flatmin as fm
from flatmin import families
from flatmin.cli.recovery_summary import summarize
from flatmin.cli.recovery_table import recovery_rows


def rows(name, shape, rank, m, **settings):
    family = families.find(name)
    instance = family.sample(shape, rank, m, noise=0.05 if settings else 0.0)
    solution = fm.flat_minimum(instance.problem, **settings)
    summary = summarize(family, instance.problem, solution, instance.truth)
    return recovery_rows(instance.problem, solution, summary, "p-flat: report.html")


def test_fit_flatness_and_uniqueness_are_separate_rows():
    table = rows("matrix-sensing", (6, 5), 1, 30)
    assert table["status"].startswith("unique_flat_minimum: Certified: ")
    assert table["unique"].startswith("yes: any other solution this flat lies within about 1 % of it (margin ")
    assert {"fit", "flatness", "certified radius", "relative error"} <= set(table)
    assert table["results"] == "p-flat: report.html"


def test_signatures_and_equally_flat_solutions_are_named():
    assert rows("quadratic-network", (6, 6), (1, 1), 40)["rank"] == "2 (1 positive, 1 negative)"
    assert rows("covariance", (6, 6), 1, 40)["flatness"].endswith("all solutions that fit are equally flat")


def test_noise_and_the_refit_have_rows():
    table = rows("matrix-sensing", (8, 6), 1, 120, alpha="auto")
    assert "in every measurement; alpha = " in table["noise"]
    assert table["refit, not certified"].startswith("rank 1")


def test_a_radius_is_never_shown_smaller_than_it_is():
    family = families.find("matrix-sensing")
    problem = family.sample((6, 5), 1, 30).problem
    solution = fm.flat_minimum(problem)
    table = recovery_rows(problem, solution, summarize(family, problem, solution, None), "")
    radius, shown = solution.certificate.radius, [float(x) for x in table["certified radius"].split(", relatively ")]
    assert radius <= shown[0] < 1.1 * radius
    assert radius / np.linalg.norm(solution.matrix) <= shown[1]
