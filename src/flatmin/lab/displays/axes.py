"""Parts of figures that several displays draw: axes with ticks, legends, points with intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.displays.levels import is_number, level_text, positions
from flatmin.lab.displays.style import background, look
from flatmin.lab.displays.summary import within_reach
from flatmin.report.words import exponent_of, number

__all__ = ["bars", "dodges", "halo", "intervals", "legend", "legend_columns", "levels_on_x", "nothing", "scale_of"]

#: Horizontal shift between neighbouring lines of one figure, in points, so that their intervals do not overlap.
SHIFT = 3.0
#: Estimated width of a letter in a legend, in units of the font size.
LETTER_WIDTH = 0.58
#: Width of the line sample and the gaps next to a text in a legend, in units of the font size.
SAMPLE_WIDTH = 4.2


def scale_of(ax: Any, side: str, values: Any, label: str, *, logarithmic: bool = False, room: float = 0.05) -> None:
    """Set range, ticks and label of an axis so that it shows all finite values (all positive ones if logarithmic)."""
    from matplotlib.ticker import NullLocator

    axis = getattr(ax, f"{side}axis")
    getattr(ax, f"set_{side}label")(label)
    numbers = within_reach(np.asarray(values, float).ravel())
    numbers = numbers[np.isfinite(numbers) & ((numbers > 0) | (not logarithmic))]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (1.0, 1.0)
    if logarithmic:
        getattr(ax, f"set_{side}scale")("log")
        more = max((high / low) ** room, 1.1)
        low, high = low / more, high * more
    else:
        more = room * (high - low) if high > low else 0.1 * abs(high) or 0.5
        low, high = low - more, high + more
    getattr(ax, f"set_{side}lim")(low, high)
    locator, formatter = _ticks(low, high, logarithmic)
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(formatter)


def _ticks(low: float, high: float, logarithmic: bool) -> tuple[Any, Callable[[float, Any], str]]:
    """Return Matplotlib's locator and formatter for the ticks between two ends."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if not logarithmic or high < 5 * low:
        size, span = max(abs(low), abs(high)), high - low
        digits = 3 + max(0, math.ceil(math.log10(size / span)))
        # A tick at zero may be a rounding error away from it.
        return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3), lambda value, _: number(
            value if abs(value) > 1e-9 * span else 0, digits
        )
    plain, many = low >= 1e-3 and high < 1e5, high > 50 * low
    place = LogLocator(subs=(1.0,) if many else (1.0, 2.0, 5.0), numticks=7)
    if plain or not many:
        return place, lambda value, _: number(value)
    return place, lambda value, _: f"10{exponent_of(round(math.log10(value)))}"


def levels_on_x(ax: Any, levels: Sequence[Any]) -> None:
    """Put a tick at each level; overlapping texts are slanted, and overlapping numbers keep Matplotlib's own ticks."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    places = positions(levels)
    numbers = all(is_number(level) for level in levels)
    words = [level_text(level) for level in levels]
    sizes = np.array([5.5 * len(word) for word in words])
    tight = np.diff(_across(ax, levels)) < (sizes[1:] + sizes[:-1]) / 2 + 4
    if numbers and (tight.any() or not levels):
        return
    ax.xaxis.set_major_locator(FixedLocator(list(places.values())))
    ax.xaxis.set_major_formatter(FixedFormatter(words))
    ax.xaxis.set_minor_locator(NullLocator())
    if tight.any():
        ax.tick_params(axis="x", labelrotation=25)
        for text in ax.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")


def dodges(ax: Any, levels: Sequence[Any], count: int) -> list[Any]:
    """Return a transform for each line of a figure, which shifts it sideways; the shift is less if levels are close."""
    from matplotlib.transforms import ScaledTranslation

    at = np.sort(_across(ax, levels))
    step = min(SHIFT, 0.6 * float(np.diff(at).min()) / count) if len(at) > 1 else SHIFT
    steps = step * (np.arange(count) - (count - 1) / 2)
    return [ax.transData + ScaledTranslation(by / 72, 0, ax.figure.dpi_scale_trans) for by in steps]


def _across(ax: Any, levels: Sequence[Any]) -> Array:
    """Return the approximate distance of each level from the left end of the axis, in points."""
    ends = [(end, 1.0) for end in ax.get_xlim()]
    x = ax.transScale.transform([*ends, *((place, 1.0) for place in positions(levels).values())])[:, 0]
    return np.asarray((x[2:] - x[0]) / (x[1] - x[0]) * 0.8 * _points(ax))


def _points(ax: Any) -> float:
    """Return the width of the figure or subfigure in points."""
    return float(ax.figure.bbox.width / ax.figure.dpi * 72)


def intervals(ax: Any, x: Array, value: Array, low: Array, high: Array, index: int, transform: Any, label: str) -> None:
    """Draw points with intervals: points without one are hollow, and triangles stand for values beyond the axis."""
    from matplotlib.transforms import blended_transform_factory as blended

    style = look(index)
    drawn = np.isfinite(value) & ((value > 0) | (ax.get_yscale() != "log"))
    bounded = drawn & np.isfinite(low) & np.isfinite(high)
    ax.plot(x, np.where(drawn, value, np.nan), ms=5, mec=style["color"], label=label, transform=transform, **style)
    loose = drawn & ~bounded
    if loose.any():
        hollow = look(index, hollow=True) | {"linestyle": "none"}
        ax.plot(x[loose], value[loose], ms=5, mec=style["color"], transform=transform, **hollow)
    if bounded.any():
        bars(ax, x[bounded], low[bounded], high[bounded], color=style["color"], transform=transform)
    for beyond, place, mark in ((value > 0, 1.0, "^"), (value <= 0, 0.0, "v")):
        out = ~drawn & ~np.isnan(value) & beyond
        if out.any():
            edge = {"transform": blended(transform, ax.transAxes), "clip_on": False, "ls": "none", "ms": 6}
            ax.plot(x[out], np.full(out.sum(), place), marker=mark, color=style["color"], **edge)


def bars(ax: Any, x: Array, low: Array, high: Array, **style: Any) -> None:
    """Draw intervals that are given by their ends.

    Matplotlib's ``errorbar`` takes lengths, and value minus length is rounded to zero if the lower end is many decades
    below the value. On a logarithmic axis such a bar would have no lower end.
    """
    ax.vlines(x, low, high, lw=1.1, **style)
    for ends in (low, high):
        ax.plot(x, ends, ls="none", marker="_", ms=4.5, mew=1.1, **style)


def halo(width: float = 3.5) -> list[Any]:
    """Return the path effect that draws a border in the background colour around a line, so that it stands out."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width, foreground=background()), Normal()]


def legend_columns(words: Sequence[str], width: float, size: float) -> int:
    """Return the number of columns of a legend, given the width of the figure and the font size in points."""
    room = 0.86 * width / size
    for columns in range(len(words), 1, -1):
        if sum(LETTER_WIDTH * max(map(len, words[i::columns])) + SAMPLE_WIDTH for i in range(columns)) <= room:
            return columns
    return 1


def legend(ax: Any, entries: Sequence[tuple[Any, str]] | None = None) -> None:
    """Draw the legend above the axes, in as many columns as fit."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.legend_handler import HandlerTuple

    handles, words = zip(*entries, strict=True) if entries else ax.get_legend_handles_labels()
    if not any(words):
        return
    size = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    columns = legend_columns(words, _points(ax), size)
    # Matplotlib fills a legend column by column; this order makes it readable row by row.
    order = [i for column in range(columns) for i in range(column, len(words), columns)]
    ax.legend(
        [handles[i] for i in order],
        [words[i] for i in order],
        ncols=columns,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        loc="lower left",
        bbox_to_anchor=(0.0, 1.03),
        borderpad=0,
        borderaxespad=0,
        handlelength=2.4,
        handletextpad=0.5,
        columnspacing=1.4,
        labelspacing=0.35,
    )


def nothing(ax: Any) -> None:
    """Draw the words "no trials yet"."""
    ax.text(0.5, 0.5, "no trials yet", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
