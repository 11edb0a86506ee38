"""Display of trainings as courses in the plane of flatness gap and error, with the certified optimum marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.displays.axes import halo, legend, nothing, scale_of
from flatmin.lab.displays.base import Display, Frame
from flatmin.lab.displays.levels import By, check_metric, labelled, sentence_start
from flatmin.lab.displays.style import background, look
from flatmin.lab.evidence import Evidence
from flatmin.report.words import number

__all__ = ["MARKS", "Course", "PlaneDisplay"]

#: Smallest gap and error that the logarithmic axes show. Smaller ones, such as zeros, are drawn there.
SMALLEST = 1e-4
#: The entry of the legend for the certified optimum.
OPTIMUM = "certified flattest solution"
#: How the marks of a figure are read.
MARKS = "A course begins at a hollow circle and ends at a filled mark. The star has the gap 0, at the end of the axis."


@dataclass(frozen=True, eq=False)
class Course:
    """One training: a label, the index of its colour and marker, and its points (gap, error) in order, shape (n, 2)."""

    label: str
    look: int
    points: Array


@dataclass(kw_only=True)
class PlaneDisplay(Display):
    """Trainings as courses in the plane of flatness gap and error, both logarithmic; see `from_evidence`.

    Examples
    --------
    >>> course = Course("descent", 0, np.array([[2, 1], [0.5, 0.1]]))
    >>> PlaneDisplay(name="plane", title="One run", courses=[course]).alt
    'One run. descent: from gap 2, error 1 to gap 0.5, error 0.1.'
    """

    courses: Sequence[Course]
    #: The error of the certified flattest solution; None if it is not known.
    optimum: float | None = None

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        name: str,
        title: str,
        *,
        gaps: Mapping[str, tuple[str, str]],
        by: By = None,
        optimum: float | None = None,
        labels: Mapping[Any, str] | None = None,
        **frame: Unpack[Frame],
    ) -> Self:
        """Collect courses that trials recorded as lists.

        Parameters
        ----------
        evidence : Evidence
            The results; each trial gives one course for each entry of ``gaps``.
        name, title, by, labels, **frame
            As for `CurvesDisplay`.
        gaps : dict
            For each kind of course its words in the legend, and the metrics with the lists of gaps and of errors.
        optimum : float, optional
            The error of the certified flattest solution.

        Raises
        ------
        InputError
            If no trial has a metric, or its lists differ in length.
        """
        parts = labelled(evidence, by, labels)
        courses = []
        for kind, (words, metrics) in enumerate(gaps.items()):
            for metric in metrics:
                check_metric(evidence, metric)
            for label, _, part in parts:
                for result in part.results:
                    lists: list[Any] = [result.metrics.get(metric) for metric in metrics]
                    if any(values is None for values in lists):
                        continue
                    if len({len(values) for values in lists}) > 1:
                        raise InputError(f"the lists {metrics[0]} and {metrics[1]} differ in length, expected pairs")
                    text = ", ".join(word for word in (words, label) if word)
                    place = kind * len(parts) + [each[0] for each in parts].index(label)
                    courses.append(Course(text, place, np.column_stack(lists).astype(float)))
        heading = cls.heading(name, title, evidence.name, frame, "flatness gap", "relative error", [MARKS])
        return cls(courses=courses, optimum=optimum, **heading)

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        labels = dict.fromkeys(course.label for course in self.courses if course.label)
        return [*labels, *([OPTIMUM] * self._has_optimum)]

    @property
    def _has_optimum(self) -> bool:
        return self.optimum is not None and bool(self.courses)

    @property
    def alt(self) -> str:
        """A description with the first and the last point of every course."""
        if not self.courses:
            return f"{self.title}: no trials yet."
        lines = [f"{sentence_start(self.title)}."]
        for course in self.courses:
            (x0, y0), (x1, y1) = course.points[[0, -1]]
            ends = f"from gap {number(x0)}, error {number(y0)} to gap {number(x1)}, error {number(y1)}"
            lines.append(f"{course.label or 'A run'}: {ends}.")
        if self.optimum is not None:
            lines.append(f"The {OPTIMUM} has the gap 0 and the error {number(self.optimum)}.")
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
        optimum = [max(self.optimum, SMALLEST)] if self.optimum is not None else []
        # Some room at the left is for the star, whose gap is zero.
        left = [everything[:, 0].min() / 2] if optimum else []
        scale_of(ax, "x", [*everything[:, 0], *left], self.x_label, logarithmic=True)
        scale_of(ax, "y", [*everything[:, 1], *optimum], self.y_label, logarithmic=True)
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
        if optimum:
            ink = matplotlib.rcParams["text.color"]
            star = {"marker": "*", "ms": 15, "color": ink, "mec": background(), "ls": "none", "clip_on": False}
            ax.plot(ax.get_xlim()[0], optimum[0], zorder=5, label=OPTIMUM, **star)
        legend(ax)

    @staticmethod
    def _shown(points: Array) -> Array:
        """Return the finite points, with zeros and rounding errors at the lower ends of the axes."""
        return np.maximum(points[np.isfinite(points).all(axis=1)], SMALLEST)
