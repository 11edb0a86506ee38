"""The display of courses in the plane of gap and error."""

import numpy as np

from flatmin.lab.displays.training.plane import SMALLEST, STAR, Course, PlaneDisplay

POINTS = np.array([[2.0, 1.0], [1.0, 0.3], [0.5, 0.1]])


def _display(**changes):
    courses = [Course("descent", 0, POINTS), Course("flow", 1, POINTS), Course("descent", 0, POINTS / 2)]
    return PlaneDisplay(**{"name": "plane", "title": "Courses", "courses": courses, "optima": [0.0]} | changes)


def test_a_course_begins_at_its_first_point_and_ends_at_its_last():
    display = _display()
    assert display.table()[1][0] == ("descent", 3, 2.0, 1.0, 0.5, 0.1)
    assert "descent: from gap 2, error 1 to gap 0.5, error 0.1." in display.alt
    assert display.alt.endswith("Certified flattest solution: gap 0, error 0.")
    assert display.words == ["descent", "flow", STAR]


def test_the_optima_stand_at_the_left_end_and_zeros_at_the_lower_end():
    ax = _display(optima=[0.0, 0.5], star="networks").plot().ax_
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert set(star.get_xdata()) == {ax.get_xlim()[0]}
    assert star.get_ydata().tolist() == [SMALLEST, 0.5]
    assert all(line.get_ydata().min() >= SMALLEST for line in ax.lines)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(words) == ["descent", "flow", "networks"]


def test_without_courses_it_says_so():
    empty = _display(courses=[], optima=[0.1])
    assert empty.plot().ax_.texts[0].get_text() == "no trials yet"
    assert empty.alt == "Courses: no trials yet."
    assert empty.words == []
    lost = PlaneDisplay(name="plane", title="Lost", courses=[Course("lost", 0, np.full((2, 2), np.inf))])
    assert lost.plot().ax_.texts
