"""Display of the boundaries between failure and success against a parameter, such as the dimension.

A boundary is a value of the transition's parameter, divided by the transition's ``scale``: for example the number of
measurements that recover half of the draws, divided by the number of degrees of freedom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.boundary.phase_map import Prediction, columns_over, predictions_of, transition_parameter
from flatmin.lab.boundary.posterior import Boundary
from flatmin.lab.displays.axes import intervals, scale_of
from flatmin.lab.displays.base import Frame
from flatmin.lab.displays.levels import By, is_number, labelled, level_text, rank, sentence_start
from flatmin.lab.displays.lines import Dashed, Line, LinesDisplay
from flatmin.lab.displays.style import colour
from flatmin.lab.evidence import Evidence
from flatmin.report.words import number

__all__ = ["BoundaryDisplay", "BoundaryLine"]


@dataclass(frozen=True)
class BoundaryLine(Line[Boundary]):
    """The boundaries of one line, and their predictions, for each value of the parameter on the horizontal axis.

    ``tried`` has the smallest and the largest point at which there were trials. All numbers are divided by the scale.
    """

    tried: dict[Any, tuple[float, float]]
    predictions: dict[Any, float]


@dataclass(kw_only=True)
class BoundaryDisplay(LinesDisplay[BoundaryLine]):
    """Boundaries, divided by the scale, against the parameter ``over``, with 95 % bands; see `from_evidence`.

    An arrow replaces the end of a band that reaches beyond the points with trials.

    Examples
    --------
    >>> from flatmin.lab import Evidence, Result, recipes
    >>> recipe = recipes.find("figure-3")
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> results = [Result(trial, {"success": trial.parameters["m"] > 5 * trial.parameters["d"]}) for trial in trials]
    >>> evidence = Evidence(recipe, results)
    >>> display = BoundaryDisplay.from_evidence(evidence, "boundary", "Where recovery sets in", by="method")
    >>> print(display.alt.split(". ")[1])
    flat: 1.7 (1.63 to 1.77) at d = 10 to 1.7 (1.63 to 1.77) at d = 40
    """

    over: str

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        name: str,
        title: str,
        *,
        over: str = "d",
        by: By = None,
        predicted: Prediction | None = None,
        labels: Mapping[Any, str] | None = None,
        x_log: bool | None = None,
        **frame: Unpack[Frame],
    ) -> Self:
        """Fit the boundary of every column.

        Parameters
        ----------
        evidence : Evidence
            Results of a recipe with a transition. Each combination of ``over`` and ``by`` has one `Column`.
        name, title, by, labels, **frame
            As for `CurvesDisplay`.
        over : str
            The parameter on the horizontal axis.
        predicted : callable, optional
            ``predicted(parameters)`` is the predicted value of the transition's parameter at the boundary.
        x_log : bool, optional
            Whether the horizontal axis is logarithmic; by default it is if ``over`` spans two decades or more.

        Raises
        ------
        InputError
            If there are several columns at one value of ``over`` and ``by``, or the recipe has no transition.
        """
        along, lines = transition_parameter(evidence.experiment), []
        for label, look, part in labelled(evidence, by, labels):
            columns = columns_over(part, over)
            found = {at: boundary for at, c in columns.items() if (boundary := c.boundary) is not None}
            expected = predictions_of({at: columns[at] for at in found}, predicted)
            ends = {at: (float(columns[at].tried.min()), float(columns[at].tried.max())) for at in found}
            if found:
                scaled = {at: value / columns[at].scale for at, value in expected.items()}
                lines.append(BoundaryLine(label, look, found, ends, scaled))
        return cls(
            over=over,
            lines=lines,
            x_log=_spans_decades(lines) if x_log is None else x_log,
            **cls.heading(name, title, evidence.name, frame, over, f"{along} / scale", _marks(lines)),
        )

    @property
    def dashed(self) -> list[Dashed]:
        """The predictions as dashed lines: one for each line, or a single one if all predictions agree."""
        lines = [line for line in self.lines if line.predictions]
        shared = {at: line.predictions[at] for line in lines for at in line.predictions}
        if not shared:
            return []
        if all(np.isclose(value, shared[at], rtol=1e-9) for line in lines for at, value in line.predictions.items()):
            return [Dashed("predicted", {at: shared[at] for at in sorted(shared, key=rank)})]
        return [Dashed(f"predicted, {line.label}", line.predictions, line.look) for line in lines]

    @property
    def alt(self) -> str:
        """A description with the first and the last boundary of every line, and their bands."""
        if not self.lines:
            return f"{self.title}: no trials yet."
        lines = [f"{sentence_start(self.y_label)} at which half of the draws succeed, against {self.x_label}."]
        for line in self.lines:
            inside = {at: found for at, found in line.points.items() if found.inside}
            outside = len(line.points) - len(inside)
            words = []
            if inside:
                ends = dict.fromkeys([next(iter(inside)), next(reversed(inside))])
                words.append(" to ".join(f"{inside[at]} at {self.over} = {level_text(at)}" for at in ends))
            if outside:
                words.append(f"{outside} with a band that goes beyond the trials")
            lines.append(f"{line.label or 'Boundary'}: {'; '.join(words)}.")
            if line.predictions:
                first, last = next(iter(line.predictions)), next(reversed(line.predictions))
                lines.append(f"Predicted {number(line.predictions[first])} to {number(line.predictions[last])}.")
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each boundary; ``inside`` tells whether its band lies within the points with trials."""
        head = ["line", self.over, "boundary", "low", "high", "inside", "trials", "predicted"]
        rows = [
            (line.label, at, b.value, b.low, b.high, b.inside, b.trials, line.predictions.get(at))
            for line in self.lines
            for at, b in line.points.items()
        ]
        return head, list(rows)

    def scale_y(self, ax: Any) -> None:
        """Scale the vertical axis so that it holds all bands and predictions."""
        bands = [end for line in self.lines for end in np.ravel(_clipped(line))]
        expected = [value for line in self.lines for value in line.predictions.values()]
        scale_of(ax, "y", bands + expected, self.y_label)

    def paint_line(self, ax: Any, line: BoundaryLine, places: Mapping[Any, float], transform: Any) -> None:
        """Draw boundaries with bands, and an arrow at each end that goes beyond the points with trials."""
        x = np.array([places[at] for at in line.points])
        found = list(line.points.values())
        value = np.array([b.value if b.inside else np.nan for b in found])
        low, high = _clipped(line).T
        intervals(ax, x, value, low, high, line.look, transform, line.label)
        tone = {"color": colour(line.look), "transform": transform}
        loose = ~np.array([b.inside for b in found])
        if not loose.any():
            return
        ax.vlines(x[loose], low[loose], high[loose], lw=1.1, **tone)
        for beyond, end, mark in zip(_beyond(line).T, (low, high), "v^", strict=True):
            ax.plot(x[beyond], end[beyond], ls="none", marker=mark, ms=6, **tone)


def _beyond(line: BoundaryLine) -> Array:
    """Return whether an arrow replaces the lower and the upper end of each band, shape (n, 2)."""
    found = [
        (not b.inside and b.low <= line.tried[at][0], not b.inside and b.high >= line.tried[at][1])
        for at, b in line.points.items()
    ]
    return np.array(found, bool).reshape(-1, 2)


def _marks(lines: Sequence[BoundaryLine]) -> list[str]:
    """Return the explanations of the marks in the picture."""
    found = []
    if any(b.inside for line in lines for b in line.points.values()):
        found.append("Half of the draws succeed at the points; bars are 95 % bands.")
    below, above = (any(_beyond(line)[:, end].any() for line in lines) for end in (0, 1))
    arrows = ["▲: the boundary may be higher"] * above + ["▼: the boundary may be lower"] * below
    if arrows:
        found.append(f"An arrow marks a band that goes beyond the trials ({', '.join(arrows)}).")
    return found


def _spans_decades(lines: Sequence[BoundaryLine]) -> bool:
    levels = [at for line in lines for at in line.points]
    return bool(levels) and all(is_number(at) and at > 0 for at in levels) and max(levels) >= 100 * min(levels)


def _clipped(line: BoundaryLine) -> Array:
    """Return the ends of each band, cut at the smallest and the largest point with trials, shape (n, 2)."""
    return np.array([np.clip((b.low, b.high), *line.tried[at]) for at, b in line.points.items()])
