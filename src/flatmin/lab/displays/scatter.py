"""Display of one metric against another, with one point for each trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, Unpack

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.displays.axes import legend, nothing, scale_of
from flatmin.lab.displays.base import Display, Frame
from flatmin.lab.displays.levels import By, check_metric, labelled, sentence_start
from flatmin.lab.displays.style import look
from flatmin.lab.displays.summary import within_reach
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.store import Result
from flatmin.report.words import counted, number

__all__ = ["Cloud", "ScatterDisplay"]

#: Largest number of points drawn, approximately; of more trials some are left out, so that pages stay small.
MAX_POINTS = 1000
#: The name in the legend of the line for ``diagonal=True``.
DIAGONAL_NAME = "both agree"


@dataclass(frozen=True)
class Cloud:
    """The points of one colour, shape (n, 2), with their label and the index of their colour and marker."""

    label: str
    look: int
    points: Array


@dataclass(kw_only=True)
class ScatterDisplay(Display):
    """One metric against another, with one point for each trial; see `from_evidence`.

    Examples
    --------
    >>> from flatmin.lab import Evidence, Result, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> evidence = Evidence(recipe, [Result(trial, {"error": 1 / trial.parameters["m"]}) for trial in trials])
    >>> display = ScatterDisplay.from_evidence(evidence, "cloud", "Errors", x="m", y="error", by="method")
    >>> print(display.alt.split(". ")[1])
    flat: 12 points, 24 to 118 across, 0.00847 to 0.0417 up
    """

    x: str
    y: str
    clouds: list[Cloud]
    x_log: bool
    y_log: bool
    #: The name of the dashed line ``y = factor · x``; there is no line if it is empty.
    diagonal: str = ""
    factor: float = 1.0
    #: The number of trials that are not drawn because a metric is not finite.
    left_out: int = 0
    #: The number of trials with zero or less on a logarithmic axis. They are drawn at the lower end of the axis.
    at_edge: int = 0

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
        x_log: bool = False,
        y_log: bool = False,
        diagonal: bool | str = False,
        factor: float = 1.0,
        labels: Mapping[Any, str] | None = None,
        **frame: Unpack[Frame],
    ) -> Self:
        """Collect two metrics of every trial that has both.

        Parameters
        ----------
        evidence : Evidence
            The results.
        x, y : str
            The metrics or parameters on the axes, or ``seconds``; their values must be numbers.
        name, title, by, labels, **frame
            As for `CurvesDisplay`, with one colour for each combination of values.
        x_log, y_log : bool
            Whether an axis is logarithmic. Trials with zero or less are drawn at its lower end, and the caption has
            their number.
        diagonal : bool or str
            Whether the line ``y = factor · x`` is drawn; a text is the name of the line.
        factor : float
            The slope of this line.

        Raises
        ------
        InputError
            If a parameter is missing, no trial has a metric, its values are words, or the factor is not positive.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise InputError(f"the line of the display {name} has the factor {factor}, expected a positive number")
        clouds, left_out, at_edge = [], 0, 0
        for metric in (x, y):
            check_metric(evidence, metric, or_parameter=True)
        for label, index, part in labelled(evidence, by, labels):
            points = _points(part.results, x, y)
            fit = np.isfinite(points).all(axis=1)
            without = ((points <= 0) & [x_log, y_log]).any(axis=1)
            at_edge += int((without & fit).sum())
            left_out += int((~fit).sum())
            if fit.any():
                clouds.append(Cloud(label, index, points[fit]))
        total = sum(len(cloud.points) for cloud in clouds)
        sentences = ["" if frame.get("caption") or not clouds else "Each point is a trial."]
        if total > MAX_POINTS:
            sentences.append(f"Of {total} trials about {MAX_POINTS} are drawn, evenly chosen.")
        if at_edge:
            sentences.append(f"{counted(at_edge, 'trial')} with zero or less drawn at the lower end of an axis.")
        if left_out:
            sentences.append(f"{counted(left_out, 'trial')} left out, because a number is not finite.")
        return cls(
            x=x,
            y=y,
            clouds=clouds,
            x_log=x_log,
            y_log=y_log,
            diagonal=DIAGONAL_NAME if diagonal is True else diagonal or "",
            factor=float(factor),
            left_out=left_out,
            at_edge=at_edge,
            **cls.heading(name, title, evidence.name, frame, x, y, sentences),
        )

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        return [word for word in (*(cloud.label for cloud in self.clouds), self.diagonal) if word]

    @property
    def alt(self) -> str:
        """A description with the number of points of each colour, their ranges, and how many lie below the line."""
        if not self.clouds:
            return f"{self.title}: no trials yet."
        lines = [f"{sentence_start(self.y_label)} against {self.x_label}, one point a trial."]
        for cloud in self.clouds:
            (x0, y0), (x1, y1) = cloud.points.min(axis=0), cloud.points.max(axis=0)
            ranges = f"{number(x0)} to {number(x1)} across, {number(y0)} to {number(y1)} up"
            below = ""
            if self.diagonal:
                under = int((cloud.points[:, 1] < self.factor * cloud.points[:, 0]).sum())
                line = "on which both agree" if self.diagonal == DIAGONAL_NAME else f"of the {self.diagonal}"
                below = f", {under} below the line {line}"
            lines.append(f"{cloud.label or 'All'}: {counted(len(cloud.points), 'point')}, {ranges}{below}.")
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row with medians and ranges for each colour; single trials are in the table of ``--export``."""
        head = ["group", "trials"]
        head += [f"{word} {metric}" for metric in (self.x, self.y) for word in ("smallest", "median", "largest")]
        rows: list[Sequence[Any]] = []
        for cloud in self.clouds:
            numbers = [float(f(v)) for v in cloud.points.T for f in (np.min, np.median, np.max)]
            rows.append((cloud.label, len(cloud.points), *numbers))
        return head, rows

    def paint(self, ax: Any) -> None:
        """Draw the points, and the line if there is one."""
        if not self.clouds:
            return nothing(ax)
        ax.grid(True)
        everything = np.concatenate([cloud.points for cloud in self.clouds])
        scale_of(ax, "x", everything[:, 0], self.x_label, logarithmic=self.x_log)
        line = self.factor * everything[:, 0] if self.diagonal else everything[:0, 0]
        scale_of(ax, "y", np.concatenate([everything[:, 1], line]), self.y_label, logarithmic=self.y_log)
        lowest = np.array([ax.get_xlim()[0], ax.get_ylim()[0]])
        share = min(1.0, MAX_POINTS / len(everything))
        for cloud in self.clouds:
            marks = look(cloud.look) | {"linestyle": "none", "ms": 5, "mew": 0, "alpha": 0.65, "clip_on": False}
            count = max(1, round(share * len(cloud.points)))
            points = cloud.points[np.linspace(0, len(cloud.points) - 1, count).round().astype(int)]
            points = np.where((points <= 0) & [self.x_log, self.y_log], lowest, points)
            ax.plot(points[:, 0], points[:, 1], label=cloud.label, **marks)
        if self.diagonal:
            self._paint_line(ax)
        legend(ax)

    def _paint_line(self, ax: Any) -> None:
        """Draw the line ``y = factor · x``, which is curved if only one axis is logarithmic."""
        import matplotlib

        left, right = ax.get_xlim()
        count = 100 if self.x_log != self.y_log else 2
        x = np.geomspace(left, right, count) if self.x_log else np.linspace(left, right, count)
        x = x[(x > 0) | (not self.y_log)]
        tone = matplotlib.rcParams["text.color"]
        # The line may leave the picture, because the axis keeps the range of the points.
        ax.plot(x, self.factor * x, ls=(0, (4, 2.5)), lw=1.1, color=tone, label=self.diagonal, zorder=1.5)
        ax.set_xlim(left, right)


def _points(results: Sequence[Result], x: str, y: str) -> Array:
    """Return both metrics of the trials that have both, shape (n, 2)."""
    both = [(_value(result, x), _value(result, y)) for result in results]
    try:
        return within_reach(np.array([pair for pair in both if None not in pair], float).reshape(-1, 2))
    except (TypeError, ValueError):
        raise InputError(f"{x} or {y} has words as values, expected numbers or truth values") from None


def _value(result: Result, name: str) -> Any:
    if name == "seconds":
        return result.seconds
    return result.metrics.get(name, result.trial.parameters.get(name))
