"""Display of a phase map: success rates over two parameters, with the boundary between failure and success."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.boundary.phase_map import Column, Prediction, columns_over, predictions_of, transition_parameter
from flatmin.lab.boundary.posterior import Boundary, wilson
from flatmin.lab.displays.axes import bars, halo, legend, levels_on_x, nothing, scale_of
from flatmin.lab.displays.base import Display, Frame
from flatmin.lab.displays.levels import level_text, positions
from flatmin.lab.displays.style import colour
from flatmin.lab.evidence import Evidence
from flatmin.report.words import counted, number

__all__ = ["PhaseMapDisplay"]

#: Entries of the legend, for the shades of the cells, for cells without trials, and for the boundary.
SHADES, UNTRIED, HALF = "share of successes, 0 to 1", "no trials", "half succeed, 95 % band"
#: The sentence of the caption if a boundary is drawn, and if none is.
LINE = "Half of the draws succeed on the line; bars are 95 % bands."
NO_LINE = "There is no line, because no band of the boundary lies within the points with trials."


@dataclass(kw_only=True)
class PhaseMapDisplay(Display):
    """The success rate over two parameters, with the boundary between failure and success.

    The horizontal axis is the parameter ``over``, and the vertical axis is the transition's parameter ``along``.
    ``columns`` has the `Column` at each value of ``over``. ``boundaries`` has the `Boundary` of each column whose band
    lies within the points with trials, and ``predictions`` the predicted boundaries, both as values of ``along``.

    Examples
    --------
    >>> from flatmin.lab import Evidence, Result, recipes
    >>> recipe = recipes.find("figure-3")
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> results = [Result(trial, {"success": trial.parameters["m"] > 5 * trial.parameters["d"]}) for trial in trials]
    >>> evidence = Evidence(recipe, results)
    >>> display = PhaseMapDisplay.from_evidence(evidence.select(method="flat"), "map", "Recovery")
    >>> print(display.alt.split(". ")[1])
    Half of the draws succeed at m = 51 (48.9 to 53.1) at d = 10 to 204 (196 to 212) at d = 40.
    >>> display.table()[0]
    ['d', 'm', 'successes', 'trials', 'share', 'low', 'high']
    """

    over: str
    along: str
    columns: dict[Any, Column]
    boundaries: dict[Any, Boundary]
    predictions: dict[Any, float]

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        name: str,
        title: str,
        *,
        over: str = "d",
        predicted: Prediction | None = None,
        **frame: Unpack[Frame],
    ) -> Self:
        """Count the successes in each cell, and fit the boundary of each column.

        Parameters
        ----------
        evidence : Evidence
            Results of a recipe with a transition, with one column for each value of ``over``.
        name, title, **frame
            As for `CurvesDisplay`.
        over : str
            The parameter on the horizontal axis.
        predicted : callable, optional
            ``predicted(parameters)`` is the predicted value of the transition's parameter at the boundary.

        Raises
        ------
        InputError
            If there are several columns at one value of ``over``, or the recipe has no transition.
        """
        along, columns = transition_parameter(evidence.experiment), columns_over(evidence, over)
        found = [(at, column.boundary, column.scale) for at, column in columns.items()]
        boundaries = {at: each.times(scale) for at, each, scale in found if each is not None and each.inside}
        return cls(
            over=over,
            along=along,
            columns=columns,
            boundaries=boundaries,
            predictions=predictions_of(columns, predicted),
            **cls.heading(
                name, title, evidence.name, frame, over, along, [LINE if boundaries else NO_LINE if columns else ""]
            ),
        )

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        kinds = {SHADES: True, UNTRIED: self._untried, HALF: self.boundaries, "predicted": self.predictions}
        return [word for word, shown in kinds.items() if shown]

    @property
    def _untried(self) -> bool:
        return any(0 in column.trials for column in self.columns.values())

    @property
    def alt(self) -> str:
        """A description with the numbers of cells and trials, and the first and the last boundary."""
        trials = [n for column in self.columns.values() for n in column.trials]
        if not sum(trials):
            return f"{self.title}: no trials yet."
        lines = [
            f"Heat map of the share of successes in {counted(len(trials), 'cell')} over {self.over} and {self.along}, "
            f"{counted(sum(trials), 'trial')}."
        ]
        if self.boundaries:
            ends = dict.fromkeys([next(iter(self.boundaries)), next(reversed(self.boundaries))])
            runs = " to ".join(f"{self.boundaries[at]} at {self.over} = {level_text(at)}" for at in ends)
            lines.append(f"Half of the draws succeed at {self.along} = {runs}.")
        if self.predictions:
            first, last = next(iter(self.predictions)), next(reversed(self.predictions))
            lines.append(
                f"Dashed, the prediction: {number(self.predictions[first])} at {self.over} = {level_text(first)} "
                f"to {number(self.predictions[last])} at {level_text(last)}."
            )
        if trials.count(0):
            lines.append(f"{counted(trials.count(0), 'cell')} without trials, hatched.")
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each cell, with Wilson's interval of its success rate."""
        head = [self.over, self.along, "successes", "trials", "share", "low", "high"]
        rows: list[Sequence[Any]] = []
        for at, column in self.columns.items():
            lows, highs = wilson(column.successes, column.trials)
            for y, s, n, low, high in zip(column.values, column.successes, column.trials, lows, highs, strict=True):
                rows.append((at, y, s, n, s / n if n else float("nan"), float(low), float(high)))
        return head, rows

    def paint(self, ax: Any) -> None:
        """Draw the cells (darker with more successes, hatched without trials), the boundary and the prediction."""
        if not self.columns:
            return nothing(ax)
        places = positions(list(self.columns))
        edges = _edges(np.array(list(places.values())))
        heights = [_edges(np.array(column.values, float)) for column in self.columns.values()]
        scale_of(ax, "x", edges, self.x_label, room=0)
        scale_of(ax, "y", np.concatenate(heights), self.y_label, room=0)
        for column, ends, left, right in zip(self.columns.values(), heights, edges[:-1], edges[1:], strict=True):
            for low, high, s, n in zip(ends[:-1], ends[1:], column.successes, column.trials, strict=True):
                ax.add_patch(_cell((left, low), right - left, high - low, s / n if n else None))
        entries = [*_key(self._untried), *self._paint_boundary(ax, places), *self._paint_prediction(ax, places, edges)]
        levels_on_x(ax, list(self.columns))
        legend(ax, entries)

    def _paint_boundary(self, ax: Any, places: dict[Any, float]) -> list[tuple[Any, str]]:
        if not self.boundaries:
            return []
        x = np.array([places[at] for at in self.boundaries])
        value, low, high = np.array([(b.value, b.low, b.high) for b in self.boundaries.values()]).T
        tone = colour(1)
        (line,) = ax.plot(x, value, "-o", color=tone, lw=1.8, ms=3.5, zorder=3, path_effects=halo(3.2))
        bars(ax, x, low, high, color=tone, zorder=3.1, path_effects=halo(2.6))
        return [(line, HALF)]

    def _paint_prediction(self, ax: Any, places: dict[Any, float], edges: Array) -> list[tuple[Any, str]]:
        import matplotlib

        if not self.predictions:
            return []
        xs, ys = [places[at] for at in self.predictions], list(self.predictions.values())
        if len(xs) == 1:
            xs, ys = [edges[0], edges[-1]], ys * 2
        tone = matplotlib.rcParams["text.color"]
        (line,) = ax.plot(xs, ys, color=tone, ls=(0, (4, 2.5)), lw=1.5, zorder=4, path_effects=halo(3.2))
        return [(line, "predicted")]


def _cell(corner: tuple[float, float], width: float, height: float, share: float | None) -> Any:
    import matplotlib
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    style: dict[str, Any] = {"facecolor": "none", "edgecolor": matplotlib.rcParams["axes.edgecolor"], "lw": 0}
    if share is not None:
        tone = to_rgba(colour(0), share)
        style = {"facecolor": tone, "edgecolor": matplotlib.rcParams["grid.color"], "lw": 0.6}
    return Rectangle(corner, width, height, hatch="////" if share is None else None, **style)


def _key(untried: bool) -> list[tuple[Any, str]]:
    """Return the legend's entries for cells: the shades from 0 to 1, and the hatching of cells without trials."""
    scale = tuple(_cell((0, 0), 1, 1, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    entries: list[tuple[Any, str]] = [(scale, SHADES)]
    return [*entries, (_cell((0, 0), 1, 1, None), UNTRIED)] if untried else entries


def _edges(places: Array) -> Array:
    """Return the n + 1 borders of cells around n ascending places, half-way between neighbours."""
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    middles = (places[1:] + places[:-1]) / 2
    return np.concatenate([[2 * places[0] - middles[0]], middles, [2 * places[-1] - middles[-1]]])
