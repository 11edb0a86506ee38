"""Courses of quadratic networks: certified gaps, and the errors of the certified network."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes import quadratic_teacher as study
from flatmin.lab.recipes._tuning.quadratic_courses import quadratic_courses
from flatmin.lab.recipes._tuning.tuned import tuned_errors

CELL = {"inputs": study.SCALED, "d": 6, "width": 4, "steps": 30}
STRENGTHS = {"plain": 1.0, "trace penalty": 0.003}


def test_courses_end_at_the_tuned_networks_and_the_star_is_the_certified_one():
    setting = study._setting(CELL | {"n": 18}, 1, 1)
    plane, slices = quadratic_courses(setting, STRENGTHS, 1, "Two methods")
    assert [course.label for course in plane.courses] == [each.label for each in slices.slices] == list(STRENGTHS)
    for course in plane.courses:
        assert course.points.min() >= 0
        tuned = tuned_errors(setting, course.label, [STRENGTHS[course.label]], 1)
        assert course.points[-1, 1] == pytest.approx(tuned["error"][0])
    data = setting.data.transformed(None)
    x, y, x_test, y_test = (part[0].double().numpy() for part in (*data.train, *data.test))
    flat = fm.flat_minimum(fm.Problem(fm.measurements.RankOne(x), y[:, 0], fm.SignedGram()))
    error = np.mean((np.sum((x_test @ flat.matrix) * x_test, axis=1) - y_test[:, 0]) ** 2) / y_test.var(ddof=1)
    assert plane.optima == pytest.approx([error], rel=1e-4)


def test_without_a_fit_nothing_is_certified_and_nothing_drawn():
    assert quadratic_courses(study._setting(CELL | {"n": 40}, 1, 1), STRENGTHS, 1, "Two methods") == []
