"""Display of a metric against a parameter, summarised over the repetitions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import numpy as np

from flatmin.lab.displays.axes import intervals, scale_of
from flatmin.lab.displays.base import Frame
from flatmin.lab.displays.levels import By, check_metric, groups, labelled, level_text, rank, sentence_start
from flatmin.lab.displays.lines import Dashed, Line, LinesDisplay
from flatmin.lab.displays.summary import Summary, summarise
from flatmin.lab.evidence import Evidence
from flatmin.report.words import counted, number

__all__ = ["CurvesDisplay"]

#: Words of the caption for each way to summarise repetitions: what a point is, and the method of its interval.
SHARE, MEDIAN = ("Shares", "by Wilson"), ("Medians", "by order statistics")
GEOMETRIC, MEAN = ("Geometric means", "by Student's t"), ("Means", "by Student's t")

Reference = Mapping[str, float | Callable[[Any], float]]


@dataclass(kw_only=True)
class CurvesDisplay(LinesDisplay[Line[Summary]]):
    """The mean, median or share of a metric against a parameter, with 95 % intervals; see `from_evidence`.

    Examples
    --------
    >>> from flatmin.lab import Evidence, Result, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> evidence = Evidence(recipe, [Result(trial, {"success": trial.parameters["m"] > 50}) for trial in trials])
    >>> settings = {"x": "m", "y": "success", "by": "method"}
    >>> display = CurvesDisplay.from_evidence(evidence.select(d=16), "share", "Recovery", **settings)
    >>> print(display.alt.split(". ")[1])
    flat: 0 (0 to 0.658) at m = 38 to 1 (0.342 to 1) at m = 118
    """

    x: str
    y: str
    #: What a point is: "Shares", "Means", "Geometric means" or "Medians".
    middle: str
    y_log: bool
    #: The values of each dashed line at the levels of ``x``.
    references: dict[str, dict[Any, float]]

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        name: str,
        title: str,
        *,
        x: str,
        y: str,
        by: By = None,
        centre: str = "mean",
        x_log: bool = False,
        y_log: bool = False,
        reference: Reference | None = None,
        labels: Mapping[Any, str] | None = None,
        **frame: Unpack[Frame],
    ) -> Self:
        """Summarise a metric at every level of a parameter.

        Parameters
        ----------
        evidence : Evidence
            The results. All trials with the same values of ``x`` and ``by`` count as repetitions of one point.
        name, title, **frame
            As for `Display`: ``caption``, ``wide``, ``x_label`` and ``y_label``.
        x : str
            The parameter on the horizontal axis.
        y : str
            The metric on the vertical axis, or ``seconds``. Truth values are shown by their share of true ones, with
            Wilson's interval.
        by : str or tuple of str, optional
            The parameters that distinguish lines: there is one line for each combination of their values.
        centre : str
            "mean", with Student's t interval, or "median", with the interval of order statistics.
        x_log, y_log : bool
            Whether an axis is logarithmic. With ``y_log`` means are geometric, so that intervals never reach zero.
        reference : dict, optional
            Dashed lines: the name of each, with a number or a function of ``x``.
        labels : dict, optional
            The words in the legend for values of ``by``, in the order of the lines.

        Raises
        ------
        InputError
            If a parameter is missing, no trial has the metric, its values are words, or ``centre`` is unknown.
        """
        check_metric(evidence, y)
        shares = evidence.values(y).dtype == bool
        about = SHARE if shares else MEDIAN if centre == "median" else GEOMETRIC if y_log else MEAN
        lines = []
        for label, look, part in labelled(evidence, by, labels, x):
            found = {at: summarise(cell.values(y), centre, logarithm=y_log) for at, cell in groups(part, x).items()}
            kept = {at: summary for at, summary in found.items() if summary is not None}
            if kept:
                lines.append(Line(label, look, kept))
        levels = sorted({at for line in lines for at in line.points}, key=rank)
        points = [point for line in lines for point in line.points.values()]
        sentences = _marks(points, about, y_log)
        left_out = sum(point.left_out for point in points)
        if left_out:
            fault = "not positive" if y_log and centre == "mean" else "not finite"
            sentences.append(f"{counted(left_out, 'trial')} left out, because {y} is {fault}.")
        return cls(
            x=x,
            y=y,
            lines=lines,
            middle=about[0],
            x_log=x_log,
            y_log=y_log,
            references={
                word: {at: float(line(at)) if callable(line) else float(line) for at in levels}
                for word, line in (reference or {}).items()
            },
            **cls.heading(name, title, evidence.name, frame, x, y, sentences),
        )

    @property
    def dashed(self) -> list[Dashed]:
        """The reference lines."""
        return [Dashed(word, values) for word, values in self.references.items()]

    @property
    def alt(self) -> str:
        """A description with the first and the last point of every line, and their intervals."""
        if not self.lines:
            return f"{self.title}: no trials yet."
        texts = [f"{sentence_start(self.y_label)} against {self.x_label}: {self.middle.lower()} with 95 % intervals."]
        for line in self.lines:
            ends = dict.fromkeys([next(iter(line.points)), next(reversed(line.points))])
            points = [f"{_with_interval(line.points[at])} at {self.x} = {level_text(at)}" for at in ends]
            texts.append(f"{line.label or self.y}: {' to '.join(points)}.")
        for word, values in self.references.items():
            first, last = values[self.levels[0]], values[self.levels[-1]]
            texts.append(f"Dashed, {word}: {number(first)}" + (f" to {number(last)}." if last != first else "."))
        return " ".join(texts)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each point with its interval; the ends are infinite if there are too few trials."""
        head = ["line", self.x, self.y, "low", "high", "trials", "left out"]
        rows = [
            (line.label, at, point.value, point.low, point.high, point.trials, point.left_out)
            for line in self.lines
            for at, point in line.points.items()
        ]
        return head, list(rows)

    def scale_y(self, ax: Any) -> None:
        """Scale the vertical axis to points, intervals and references, or from 0 to 1 for shares."""
        points = [point for line in self.lines for point in line.points.values()]
        heights = [point.value for point in points] + [0.0, 1.0] * (self.middle == SHARE[0])
        heights += [end for point in points if point.bounded for end in (point.low, point.high)]
        heights += [value for values in self.references.values() for value in values.values()]
        scale_of(ax, "y", heights, self.y_label, logarithmic=self.y_log)

    def paint_line(self, ax: Any, line: Line[Summary], places: Mapping[Any, float], transform: Any) -> None:
        """Draw points with their intervals."""
        x = np.array([places[at] for at in line.points])
        value, low, high = np.array([(point.value, point.low, point.high) for point in line.points.values()]).T
        intervals(ax, x, value, low, high, line.look, transform, line.label)


def _marks(points: Sequence[Summary], about: tuple[str, str], y_log: bool) -> list[str]:
    """Return the explanation of each kind of mark that `intervals` draws for these points."""
    shown = [point for point in points if np.isfinite(point.value) and (point.value > 0 or not y_log)]
    bounded = [point for point in shown if point.bounded]
    found = [f"{about[0]}{f'; bars are 95 % intervals {about[1]}' * bool(bounded)}."] * bool(shown)
    if len(bounded) < len(shown):
        found.append("Hollow points have too few draws for an interval.")
    if len(shown) < len(points):
        found.append("A triangle at the end of the axis stands for a number that the axis cannot show.")
    return found


def _with_interval(point: Summary) -> str:
    ends = f" ({number(point.low)} to {number(point.high)})" if point.bounded else ""
    return number(point.value) + ends
