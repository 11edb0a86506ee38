"""Both pictures of trainings: courses in the plane of flatness gap and error, and the loss around some weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flatmin.lab.displays.base import Display, Frame
from flatmin.lab.displays.levels import full_caption
from flatmin.lab.displays.training.plane import MARKS, STAR, Course, PlaneDisplay
from flatmin.lab.displays.training.slices import DRAWN, Slice, SlicesDisplay

__all__ = ["training_displays"]


def training_displays(
    courses: Sequence[Course],
    title: str,
    *,
    recipe: str = "",
    optima: Sequence[float] = (),
    star: str = STAR,
    places: Sequence[Slice] = (),
    gap: str = "flatness gap",
    error: str = "relative error",
    caption: str = "",
    around: str = "",
) -> list[Display]:
    """Return the plane of the courses that have finite points, and slices of the loss, if there are any.

    Parameters
    ----------
    courses : sequence of Course
        The trainings.
    title, recipe : str
        The title of the plane, and the name of the recipe.
    optima, star
        The errors of certified flattest solutions, and their entry in the legend.
    places : sequence of Slice
        The loss around other weights, such as those of a certified solution, before the ends of the courses.
    gap, error : str
        The labels of the axes of the plane.
    caption, around : str
        The first sentences below the plane and below the slices.
    """
    found: list[Display] = []
    finite = [replace(course, points=course.points[np.isfinite(course.points).all(axis=1)]) for course in courses]
    drawn = [course for course in finite if len(course.points)]
    if drawn:
        text = full_caption(caption, [MARKS])
        labels: Frame = {"x_label": gap, "y_label": error, "caption": text}
        found.append(
            PlaneDisplay(name="courses", title=title, courses=drawn, optima=optima, star=star, recipe=recipe, **labels)
        )
    slices = [*places, *(course.end for course in courses if course.end is not None)]
    if slices:
        text = full_caption(around, [DRAWN])
        title = "The loss around the ends of training"
        found.append(SlicesDisplay(name="slices", title=title, slices=slices, recipe=recipe, caption=text))
    return found
