"""Charts of loss and flatness along the runs of a race, with a few competitors in colour and the others in grey."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.displays.axes import legend
from flatmin.lab.displays.style import look
from flatmin.report.pictures.drawing import LINE, WIDTH, draw, grid, logarithmic

__all__ = ["SMALLEST_DRAWN", "Band", "band", "panels", "trajectories"]

#: The largest number of competitors that are drawn in colour in one panel.
MOST_IN_A_PANEL = 4
#: Values below this are drawn as this value, because an axis is logarithmic. They are zeros or rounding errors.
SMALLEST_DRAWN = 1e-16


@dataclass(frozen=True, eq=False)
class Band:
    """One quantity of one competitor along its runs, as arrays of shape (n,).

    ``gradients`` are the gradients spent, increasing and positive. ``middle`` is the median over the seeds, where a
    diverged run is infinite. ``low`` and ``high`` are the extremes over the seeds that have not diverged.
    """

    gradients: Array
    middle: Array
    low: Array
    high: Array


def panels(names: Sequence[str]) -> list[list[str]]:
    """Return the competitors in the same order, divided into one group of nearly equal size for each panel."""
    count = -(-len(names) // MOST_IN_A_PANEL)
    return [[names[place] for place in part] for part in np.array_split(np.arange(len(names)), max(count, 1))]


def band(runs: Sequence[tuple[Array, Array]], end: float = 0) -> Band:
    """Return the band of several runs, each given by gradient counts and values, up to ``end`` gradients.

    The logarithm of the values is interpolated linearly between two records. Values after the last record of a run, and
    values that are not finite, count as infinite.
    """
    everywhere = np.unique(np.concatenate([[end], *(steps for steps, _ in runs)]))
    everywhere = everywhere[everywhere > 0].astype(float)
    rows = []
    for steps, values in runs:
        finite = np.isfinite(values)
        if not finite.any():
            rows.append(np.full(len(everywhere), np.inf))
            continue
        logs = np.log(np.maximum(np.asarray(values, dtype=float)[finite], SMALLEST_DRAWN))
        rows.append(np.exp(np.interp(everywhere, np.asarray(steps)[finite], logs, right=np.inf)))
    values = np.array(rows)
    finite = np.where(np.isfinite(values), values, -np.inf)
    return Band(everywhere, np.median(values, axis=0), values.min(axis=0), finite.max(axis=0))


def trajectories(
    name: str, quantities: Mapping[str, Mapping[str, Band]], group: Sequence[str], looks: Mapping[str, int]
) -> str:
    """Return a panel as SVG, with one chart below the other for each quantity.

    ``name`` identifies the drawing within its page, ``quantities`` has a band of each competitor for each title,
    ``group`` are the competitors in colour, and ``looks`` are the indices of their looks (`displays.style.look`).
    """

    def paint(figure: Any) -> None:
        charts = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
        styles = {competitor: look(looks[competitor]) for competitor in group}
        for axes, (title, bands) in zip(charts, quantities.items(), strict=True):
            grid(axes)
            for other in bands.keys() - set(group):
                axes.plot(bands[other].gradients, _finite(bands[other].middle), color=LINE, lw=1.2, zorder=1)
            for competitor, style in styles.items():
                _line(axes, competitor, bands[competitor], style)
            logarithmic(axes, _reach(bands.values()), most=6)
            axes.set_ylabel(title)
        bands = next(reversed(list(quantities.values())))
        last = charts[-1]
        spent = np.concatenate([b.gradients for b in bands.values()])
        logarithmic(last, spent, "x", most=6)
        last.set_xlim(spent.min(), spent.max() if spent.max() > spent.min() else 10 * spent.max())
        last.set_xlabel("gradient evaluations")
        legend(charts[0])

    return draw(name, (WIDTH, 85.0 + 125.0 * len(quantities)), paint)


def _finite(values: Array) -> Array:
    """Return values with NaN in place of infinities, which Matplotlib draws as gaps."""
    return np.where(np.isfinite(values), values, np.nan)


def _reach(bands: Iterable[Band]) -> Array:
    """Return the values that the axis must show: those of competitors whose median is finite in the end."""
    kept = [b for b in bands if np.isfinite(b.middle[-1])] or list(bands)
    values = np.concatenate([b.middle for b in kept])
    return np.asarray(values[np.isfinite(values)])


def _line(axes: Any, name: str, drawn: Band, style: Mapping[str, Any]) -> None:
    """Draw the range over the seeds and the median, with a cross at the point where a median diverges."""
    x, y, colour = drawn.gradients, _finite(drawn.middle), style["color"]
    axes.fill_between(x, drawn.low, drawn.high, where=np.isfinite(y), color=colour, alpha=0.14, lw=0, zorder=2)
    axes.plot(x, y, color=colour, ls=style["linestyle"], lw=1.7, zorder=3, label=name)
    finite = np.flatnonzero(np.isfinite(y))
    if len(finite) and finite[-1] < len(x) - 1:
        axes.plot(x[finite[-1]], y[finite[-1]], "x", ms=7, mew=1.8, color=colour, zorder=4)
