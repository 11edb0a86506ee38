"""Both pictures of trainings."""

import numpy as np

from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays

POINTS = np.array([[2.0, 1.0], [1.0, 0.3], [0.5, 0.1]])


def test_both_pictures_show_what_the_courses_have():
    steps = np.linspace(-1, 1, 3)
    around = Slice("end", steps, np.stack([steps**2, 0 * steps]), (2.0, 0.0))
    nowhere = np.full((1, 2), np.inf)
    plane, slices = training_displays(
        [Course("a", 0, np.vstack([POINTS, nowhere]), around), Course("b", 1, nowhere)], "Both", places=[around]
    )
    assert [(course.label, len(course.points)) for course in plane.courses] == [("a", 3)]
    assert slices.slices == [around, around]
    assert [display.name for display in training_displays([Course("a", 0, POINTS)], "Both")] == ["courses"]
    assert [display.name for display in training_displays([], "Both", places=[around])] == ["slices"]
    assert training_displays([], "Both") == []
