"""What displays draw alike: axes, legends, points with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flatmin.experiments.displays.levels import is_number, spot
from flatmin.experiments.style import background, look
from flatmin.metric import Array
from flatmin.report.words import number

__all__ = ["dodge", "halo", "intervals", "legend", "levels_on_x", "nothing", "scale_of"]

#: Points between lines that would stand on one another.
STEP = 3.0
#: Width of a letter and of what stands before a word in a legend, in letters' heights.
LETTER, HANDLE = 0.58, 3.2


def scale_of(ax: Any, side: str, values: Any, label: str, *, logarithmic: bool = False, room: float = 0.05) -> None:
    """Make an axis hold all values, those that it can show, with room beside them and readable ticks; label it."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axis = getattr(ax, f"{side}axis")
    getattr(ax, f"set_{side}label")(label)
    numbers = np.asarray(values, float).ravel()
    numbers = numbers[np.isfinite(numbers) & ((numbers > 0) | (not logarithmic))]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (1.0, 1.0)
    if not logarithmic:
        more = room * (high - low) if high > low else 0.1 * abs(high) or 0.5
        getattr(ax, f"set_{side}lim")(low - more, high + more)
        axis.set_major_locator(MaxNLocator(6, min_n_ticks=3))
        axis.set_major_formatter(lambda value, _: number(round(value, 12), 4))
        return
    more = max((high / low) ** room, 1.1)
    getattr(ax, f"set_{side}scale")("log")
    getattr(ax, f"set_{side}lim")(low / more, high * more)
    subs = (1.0,) if math.log10(high / low) > 1.7 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: number(value))


def levels_on_x(ax: Any, levels: Sequence[Any]) -> None:
    """Put ticks at the levels that there are, where words do not run into each other."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    places = spot(levels)
    numbers = all(is_number(level) for level in levels)
    words = [number(level) if numbers else str(level) for level in levels]
    low, high = ax.get_xlim()
    across = ax.transScale.transform([(place, 1.0) for place in places.values()])[:, 0]
    left, right = ax.transScale.transform([(low, 1.0), (high, 1.0)])[:, 0]
    width = 0.8 * ax.figure.bbox.width / ax.figure.dpi * 72
    at = (across - left) / (right - left) * width
    sizes = np.array([6.0 * len(word) for word in words])
    tight = np.diff(at) < (sizes[1:] + sizes[:-1]) / 2 + 4
    if numbers and (tight.any() or not levels):
        return
    ax.xaxis.set_major_locator(FixedLocator(list(places.values())))
    ax.xaxis.set_major_formatter(FixedFormatter(words))
    ax.xaxis.set_minor_locator(NullLocator())
    if tight.any():
        ax.tick_params(axis="x", labelrotation=25)
        for text in ax.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")


def dodge(ax: Any, index: int, count: int) -> Any:
    """Return the transform of data that moves the lines of one picture apart by some points; the data stay exact."""
    from matplotlib.transforms import ScaledTranslation

    return ax.transData + ScaledTranslation(STEP * (index - (count - 1) / 2) / 72, 0, ax.figure.dpi_scale_trans)


def intervals(ax: Any, x: Array, value: Array, low: Array, high: Array, index: int, transform: Any, label: str) -> None:
    """Draw points with their intervals, joined by a line; hollow points have too few repetitions for an interval."""
    style = look(index)
    drawn = np.isfinite(value) & ((value > 0) | (ax.get_yscale() != "log"))
    bounded = drawn & np.isfinite(low) & np.isfinite(high)
    ax.plot(x, np.where(drawn, value, np.nan), ms=5, mec=style["color"], label=label, transform=transform, **style)
    loose = drawn & ~bounded
    if loose.any():
        hollow = look(index, hollow=True) | {"linestyle": "none"}
        ax.plot(x[loose], value[loose], ms=5, mec=style["color"], transform=transform, **hollow)
    if bounded.any():
        sizes = [value[bounded] - low[bounded], high[bounded] - value[bounded]]
        bars = {"ecolor": style["color"], "elinewidth": 1.1, "capsize": 2.2, "capthick": 1.1}
        ax.errorbar(x[bounded], value[bounded], np.abs(sizes), fmt="none", transform=transform, **bars)
    for beyond, place, mark in ((value > 0, 1.0, "^"), (value <= 0, 0.0, "v")):
        out = ~drawn & ~np.isnan(value) & beyond
        if out.any():
            edge = {"transform": ax.get_xaxis_transform(), "clip_on": False, "ls": "none", "ms": 7}
            ax.plot(x[out], np.full(out.sum(), place), marker=mark, color=style["color"], **edge)


def halo(width: float = 3.5) -> list[Any]:
    """Return the effect that keeps a line readable on any ground."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width, foreground=background()), Normal()]


def legend(ax: Any, handles: Sequence[Any] | None = None) -> None:
    """Write the legend above the axes, in as many columns as the words leave room for."""
    import matplotlib

    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    words = [handle.get_label() for handle in handles]
    if not any(words):
        return
    size = matplotlib.font_manager.FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    letters = ax.figure.bbox.width / ax.figure.dpi * 72 * 0.86 / size
    columns = int(letters // (LETTER * max(len(word) for word in words) + HANDLE))
    columns = max(1, min(columns, len(words)))
    rows = math.ceil(len(words) / columns)
    settings = {"borderpad": 0, "borderaxespad": 0, "handletextpad": 0.5, "columnspacing": 1.4, "labelspacing": 0.35}
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.03)}
    # Filled row by row: matplotlib fills column by column.
    order = [i for column in range(columns) for i in range(column, len(words), columns)][: rows * columns]
    ax.legend([handles[i] for i in order], [words[i] for i in order], ncols=columns, **place, **settings)


def nothing(ax: Any) -> None:
    """Say that there is nothing to show yet."""
    ax.text(0.5, 0.5, "no trials yet", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
