"""Display of a metric against a parameter, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin.lab.displays.axes import dodges, intervals, legend, levels_on_x, nothing, scale_of
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.levels import (
    check_metric,
    full_caption,
    groups,
    is_number,
    level_name,
    level_text,
    ordered,
    positions,
    rank,
    sentence_start,
)
from flatmin.lab.displays.summary import Summary, summarise
from flatmin.lab.evidence import Evidence
from flatmin.report.words import counted, number

__all__ = ["Curve", "CurvesDisplay"]

#: The kind of the points, and the method of their intervals.
SHARE, MEDIAN = ("Shares", "by Wilson"), ("Medians", "by order statistics")
GEOMETRIC, MEAN = ("Geometric means", "by Student's t"), ("Means", "by Student's t")

Reference = Mapping[str, float | Callable[[Any], float]]


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes
    ----------
    label : str
        The name of the line.
    look : int
        The index of its look.
    x : list
        Levels of the parameter.
    points : list of Summary
        The summary of the metric at each level.
    """

    label: str
    look: int
    x: list[Any]
    points: list[Summary]


@dataclass(kw_only=True)
class CurvesDisplay(Display):
    """A metric against a parameter, with 95 % intervals, one line for each level of others.

    Attributes
    ----------
    x, y : str
        The parameter and the metric.
    curves : list of Curve
        The lines.
    middle : str
        The kind of the points: "Shares", "Means", "Geometric means" or "Medians".
    x_log, y_log : bool
        Whether axes are logarithmic.
    references : dict
        The values of each dashed line, by level of ``x``.
    x_label, y_label : str
        Labels of the axes.

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
    curves: list[Curve]
    middle: str
    x_log: bool
    y_log: bool
    references: dict[str, dict[Any, float]]
    x_label: str
    y_label: str

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        name: str,
        title: str,
        *,
        x: str,
        y: str,
        by: str | Sequence[str] | None = None,
        centre: str = "mean",
        x_log: bool = False,
        y_log: bool = False,
        reference: Reference | None = None,
        labels: Mapping[Any, str] | None = None,
        caption: str = "",
        x_label: str | None = None,
        y_label: str | None = None,
        wide: bool = False,
    ) -> Self:
        """Summarise a metric at every level of a parameter.

        Parameters
        ----------
        evidence : Evidence
            The evidence. All trials with the same ``x`` and ``by`` are repetitions.
        name, title, caption, wide
            As for `Display`.
        x : str
            A parameter.
        y : str
            A metric, or ``seconds``. Of truth values the share is shown, with Wilson's interval.
        by : str or tuple of str, optional
            Parameters with one line for each combination of values.
        centre : str
            "mean", with Student's t interval, or "median", with that of order statistics.
        x_log, y_log : bool
            Logarithmic axes; with ``y_log`` means are those of logarithms, so that intervals never reach zero.
        reference : dict, optional
            Names of dashed lines, each with a number or a function of ``x``.
        labels : dict, optional
            Names for levels of ``by``, in the order of the lines.
        x_label, y_label : str, optional
            Labels of the axes, with units; by default the names.

        Raises
        ------
        InputError
            If a parameter is missing, no trial has the metric, it is made of words, or ``centre`` is neither.
        """
        curves = []
        check_metric(evidence, y)
        shares = evidence.values(y).dtype == bool
        about = SHARE if shares else MEDIAN if centre == "median" else GEOMETRIC if y_log else MEAN
        parts = groups(evidence, by, x)
        for look, level in ordered(list(parts), labels):
            cells = groups(parts[level], x)
            found = {at: summarise(cell.values(y), centre, logarithm=y_log) for at, cell in cells.items()}
            kept = {at: summary for at, summary in found.items() if summary is not None}
            if kept:
                curves.append(Curve(level_name(level, by, labels), look, list(kept), list(kept.values())))
        levels = sorted({at for curve in curves for at in curve.x}, key=rank)
        references = {
            word: {at: float(line(at)) if callable(line) else float(line) for at in levels}
            for word, line in (reference or {}).items()
        }
        caption = full_caption(caption, *_marks([point for curve in curves for point in curve.points], about, y_log))
        left_out = sum(point.left_out for curve in curves for point in curve.points)
        if left_out:
            what = "not positive" if y_log and centre == "mean" else "not finite"
            caption = f"{caption} {counted(left_out, 'trial')} left out, whose {y} is {what}.".strip()
        return cls(
            name=name,
            title=title,
            caption=caption,
            wide=wide,
            recipe=evidence.name,
            x=x,
            y=y,
            curves=curves,
            middle=about[0],
            x_log=x_log,
            y_log=y_log,
            references=references,
            x_label=x_label or x,
            y_label=y_label or y,
        )

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        return [word for word in (*(curve.label for curve in self.curves), *self.references) if word]

    @property
    def levels(self) -> list[Any]:
        """The levels of ``x``."""
        return sorted({at for curve in self.curves for at in curve.x}, key=rank)

    @property
    def alt(self) -> str:
        """The first and the last point of every line, with intervals."""
        if not self.curves:
            return f"{self.title}: no trials yet."
        lines = [f"{sentence_start(self.y_label)} against {self.x_label}: {self.middle.lower()} with 95 % intervals."]
        for curve in self.curves:
            ends = dict.fromkeys([0, len(curve.x) - 1])
            points = [f"{_with_interval(curve.points[i])} at {self.x} = {level_text(curve.x[i])}" for i in ends]
            lines.append(f"{curve.label or self.y}: {' to '.join(points)}.")
        for word, values in self.references.items():
            first, last = values[self.levels[0]], values[self.levels[-1]]
            lines.append(f"Dashed, {word}: {number(first)}" + (f" to {number(last)}." if last != first else "."))
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each point with its interval, whose ends are infinite for too few trials."""
        head = ["line", self.x, self.y, "low", "high", "trials", "left out"]
        rows = [
            (curve.label, at, point.value, point.low, point.high, point.trials, point.left_out)
            for curve in self.curves
            for at, point in zip(curve.x, curve.points, strict=True)
        ]
        return head, list(rows)

    def paint(self, ax: Any) -> None:
        """Draw lines with intervals, and dashed references."""
        import matplotlib

        if not self.curves:
            return nothing(ax)
        places = positions(self.levels)
        ax.grid(axis="y")
        numbers = all(is_number(at) for at in self.levels)
        scale_of(ax, "x", list(places.values()), self.x_label, logarithmic=self.x_log and numbers)
        scale_of(ax, "y", self._heights(), self.y_label, logarithmic=self.y_log)
        for curve, moved in zip(self.curves, dodges(ax, self.levels, len(self.curves)), strict=True):
            x = np.array([places[at] for at in curve.x])
            value, low, high = (np.array([getattr(p, n) for p in curve.points]) for n in ("value", "low", "high"))
            intervals(ax, x, value, low, high, curve.look, moved, curve.label)
        for index, (word, values) in enumerate(self.references.items()):
            ink = {"color": matplotlib.rcParams["text.color"], "lw": 1.2, "label": word, "zorder": 1.5}
            dashes = [(0, (5, 3)), (0, (1.5, 2)), (0, (6, 2, 1.5, 2))][index % 3]
            ys = np.array(list(values.values()))
            if len(ys) == 1 or np.all(ys == ys[0]):
                ax.axhline(ys[0], ls=dashes, **ink)
            else:
                ax.plot([places[at] for at in values], ys, ls=dashes, **ink)
        levels_on_x(ax, self.levels)
        legend(ax)

    def _heights(self) -> list[float]:
        """Return all heights in the figure."""
        points = [point for curve in self.curves for point in curve.points]
        bounded = [end for point in points if point.bounded for end in (point.low, point.high)]
        lines = [value for values in self.references.values() for value in values.values()]
        whole = [0.0, 1.0] if self.middle == SHARE[0] else []
        return [*(point.value for point in points), *bounded, *lines, *whole]


def _marks(points: Sequence[Summary], about: tuple[str, str], y_log: bool) -> list[str]:
    """Return explanations of the marks that `intervals` draws for these points."""
    shown = [point for point in points if np.isfinite(point.value) and (point.value > 0 or not y_log)]
    bounded = [point for point in shown if point.bounded]
    found = [f"{about[0]}{f'; bars are 95 % intervals {about[1]}' * bool(bounded)}."] * bool(shown)
    if len(bounded) < len(shown):
        found.append("Hollow points have too few draws for an interval.")
    if len(shown) < len(points):
        found.append("A triangle stands at the end of the axis for a number that has no place on it.")
    return found


def _with_interval(point: Summary) -> str:
    if not point.bounded:
        return number(point.value)
    return f"{number(point.value)} ({number(point.low)} to {number(point.high)})"
