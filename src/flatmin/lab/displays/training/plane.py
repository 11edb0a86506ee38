"""Display of trainings as courses in the plane of flatness gap and error, with the certified optimum marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.displays.axes import halo, legend, nothing, scale_of
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.levels import sentence_start
from flatmin.lab.displays.scatter import Cloud
from flatmin.lab.displays.style import background, look
from flatmin.lab.displays.training.slices import Slice
from flatmin.report.words import number

__all__ = ["MARKS", "STAR", "Course", "PlaneDisplay"]

#: Smallest gap and error that the logarithmic axes show. Smaller ones, such as zeros, are drawn there.
SMALLEST = 1e-4
#: The usual entry of the legend for the star.
STAR = "certified flattest solution"
#: Size of the star in points; numbers at the axis are half of it away.
STAR_SIZE = 15
#: How the marks of a figure are read.
MARKS = "A course begins at a hollow circle and ends at a filled mark. The star has the gap 0, at the end of the axis."


@dataclass(frozen=True, eq=False)
class Course(Cloud):
    """One training: a cloud whose points (gap, error) are in order, and the loss around its last weights, if known."""

    end: Slice | None = None


@dataclass(kw_only=True)
class PlaneDisplay(Display):
    """Trainings as courses in the plane of flatness gap and error, both logarithmic.

    Examples
    --------
    >>> course = Course("descent", 0, np.array([[2, 1], [0.5, 0.1]]))
    >>> PlaneDisplay(name="plane", title="One run", courses=[course]).alt
    'One run. descent: from gap 2, error 1 to gap 0.5, error 0.1.'
    """

    courses: Sequence[Course]
    #: The errors of certified flattest solutions; mostly one, and none if it is not known.
    optima: Sequence[float] = ()
    #: The entry of the legend for these solutions, which are drawn as stars.
    star: str = STAR

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        labels = dict.fromkeys(course.label for course in self.courses if course.label)
        return [*labels, *([self.star] if self.optima and self.courses else [])]

    @property
    def alt(self) -> str:
        """A description with the first and the last point of every course."""
        if not self.courses:
            return f"{self.title}: no trials yet."
        axes = [f"{sentence_start(self.y_label)} against {self.x_label}."] if self.x_label and self.y_label else []
        lines = [f"{sentence_start(self.title)}.", *axes]
        for course in self.courses:
            (x0, y0), (x1, y1) = course.points[[0, -1]]
            ends = f"from gap {number(x0)}, error {number(y0)} to gap {number(x1)}, error {number(y1)}"
            lines.append(f"{course.label or 'A run'}: {ends}.")
        if self.optima:
            lines.append(f"{sentence_start(self.star)}: gap 0, error {' or '.join(map(number, self.optima))}.")
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each course: its label, its number of points, and its first and last gap and error."""
        head = ["course", "points", "first gap", "first error", "last gap", "last error"]
        rows = [(c.label, len(c.points), *map(float, c.points[[0, -1]].ravel())) for c in self.courses]
        return head, list(rows)

    def paint(self, ax: Any) -> None:
        """Draw the courses with their ends, and the certified optimum."""
        import matplotlib

        drawn = [(course, self._shown(course.points)) for course in self.courses]
        drawn = [(course, points) for course, points in drawn if len(points)]
        if not drawn:
            return nothing(ax)
        ax.grid(True)
        everything = np.concatenate([points for _, points in drawn])
        optima = [max(error, SMALLEST) for error in self.optima]
        # Some room at the left is for the stars, whose gap is zero.
        left = [everything[:, 0].min() / 2] if optima else []
        scale_of(ax, "x", [*everything[:, 0], *left], self.x_label, logarithmic=True)
        scale_of(ax, "y", [*everything[:, 1], *optima], self.y_label, logarithmic=True)
        named: set[str] = set()
        for course, points in drawn:
            style = look(course.look)
            mark, lines = style.pop("marker"), {**style, "lw": 1.5, "alpha": 0.85, "clip_on": False}
            ax.plot(*points.T, path_effects=halo(2.5), **lines)
            ends = {"color": style["color"], "ls": "none", "zorder": 4, "clip_on": False}
            ax.plot(*points[0], marker="o", ms=5, mfc=background(), mec=style["color"], **ends)
            label = course.label if course.label not in named else ""
            named.add(course.label)
            ax.plot(*points[-1], marker=mark, ms=7, mec=background(), mew=0.8, label=label, **ends)
        if optima:
            ink = matplotlib.rcParams["text.color"]
            ax.tick_params(axis="y", pad=STAR_SIZE / 2)
            star = {"marker": "*", "ms": STAR_SIZE, "color": ink, "mec": background(), "ls": "none", "clip_on": False}
            ax.plot([ax.get_xlim()[0]] * len(optima), optima, zorder=5, label=self.star, **star)
        legend(ax)

    @staticmethod
    def _shown(points: Array) -> Array:
        """Return the finite points, with zeros and rounding errors at the lower ends of the axes."""
        return np.maximum(points[np.isfinite(points).all(axis=1)], SMALLEST)
