"""The display of courses in the plane of gap and error."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.displays.training.plane import OPTIMUM, SMALLEST, Course, PlaneDisplay


def _evidence(errors=(1.0, 0.3, 0.1)):
    recipe = recipes.find("central-flow").quickly()
    trials = [trial for trial in recipe.trials() if trial.parameters["warmup"] == 250][:4]
    return Evidence(recipe, [Result(t, {"gap": [2.0, 1.0, 0.5], "error": list(errors), "none": None}) for t in trials])


def _display(**changes):
    settings = {"gaps": {"descent": ("gap", "error")}, "by": "factors", "optimum": 0.0}
    return PlaneDisplay.from_evidence(_evidence(), "plane", "Courses", **(settings | changes))


def test_a_course_begins_at_its_first_point_and_ends_at_its_last():
    display = _display()
    assert {course.label for course in display.courses} == {"descent, two matrices", "descent, two vectors"}
    assert display.table()[1][0] == (display.courses[0].label, 3, 2.0, 1.0, 0.5, 0.1)
    assert "from gap 2, error 1 to gap 0.5, error 0.1." in display.alt
    assert display.alt.endswith("The certified flattest solution has the gap 0 and the error 0.")
    assert display.words[-1] == OPTIMUM


def test_the_optimum_stands_at_the_left_end_and_zeros_at_the_lower_end():
    ax = _display().plot().ax_
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert star.get_xdata()[0] == ax.get_xlim()[0]
    assert star.get_ydata()[0] == SMALLEST
    assert all(line.get_ydata().min() >= SMALLEST for line in ax.lines)
    assert [text.get_text() for text in ax.get_legend().get_texts()].count("descent, two matrices") == 1


def test_without_courses_it_says_so():
    empty = PlaneDisplay(name="plane", title="Courses", courses=[], optimum=0.1)
    assert empty.plot().ax_.texts[0].get_text() == "no trials yet"
    assert empty.alt == "Courses: no trials yet."
    assert _display(gaps={"descent": ("none", "none")}).courses == []
    lost = PlaneDisplay(name="plane", title="Lost", courses=[Course("lost", 0, np.full((2, 2), np.inf))])
    assert lost.plot().ax_.texts


def test_lists_of_two_lengths_and_unknown_metrics_are_refused():
    with pytest.raises(InputError, match="differ in length"):
        PlaneDisplay.from_evidence(_evidence((1.0, 0.5)), "plane", "Courses", gaps={"": ("gap", "error")})
    with pytest.raises(InputError, match="no trial has the metric 'gaps'"):
        _display(gaps={"": ("gaps", "error")})
