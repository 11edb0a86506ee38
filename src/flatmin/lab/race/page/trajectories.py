"""The pictures of a race: loss and flatness gap along the way, and what errors came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.pictures.drawing import (
    CARD,
    FIRST,
    FOURTH,
    INK,
    LINE,
    MUTED,
    SECOND,
    THIRD,
    WIDTH,
    draw,
    grid,
    logarithmic,
)

__all__ = ["Band", "Cloud", "Style", "band", "folded", "panels", "scatter", "spread", "styles", "trajectories"]

#: A panel tells this many competitors apart; the others are its grey background.
MOST_IN_A_PANEL = 4
#: One a place in a panel: colours that are told apart by the colour-blind, and in print by their dashes.
COLOURS = (FIRST, SECOND, THIRD, FOURTH)
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
#: One a panel.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Values of a logarithmic axis that are no larger are drawn here: rounding, or zero.
FLOOR = 1e-16
#: A scatter over more than the factor WIDE ends AROUND its points, and not at powers of ten.
WIDE, AROUND = 1e2, 1.8
#: Height of a letter of a label, and its usual width in heights.
LETTER, ASPECT = 8.5, 0.53
#: Letters of a name that stand in one line at the end of a line.
LONG = 14


@dataclass(frozen=True)
class Style:
    """How a competitor is drawn, everywhere on the page."""

    colour: str
    line: Any
    marker: str


@dataclass(frozen=True, eq=False)
class Band:
    """One quantity of one competitor along its runs.

    Attributes
    ----------
    gradients : ndarray, shape (n,)
        Gradient evaluations spent, increasing and positive.
    middle : ndarray, shape (n,)
        Median over the seeds; a run that has diverged counts as infinite from there on.
    low, high : ndarray, shape (n,)
        Smallest and largest over the seeds that have not diverged there.
    """

    gradients: Array
    middle: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Cloud:
    """The ends of a competitor's runs that did not diverge: one point (x, y) a seed."""

    x: Array
    y: Array


def panels(names: Sequence[str]) -> list[list[str]]:
    """Return competitors, best first, in groups of nearly equal size that one panel can tell apart.

    Examples
    --------
    >>> panels(list("abcdef"))
    [['a', 'b', 'c'], ['d', 'e', 'f']]
    """
    count = -(-len(names) // MOST_IN_A_PANEL)
    return [[names[place] for place in part] for part in np.array_split(np.arange(len(names)), max(count, 1))]


def styles(groups: Sequence[Sequence[str]]) -> dict[str, Style]:
    """Return one style a competitor: a colour and a dash for its place in its group, a marker for the group."""
    return {
        name: Style(COLOURS[place], LINES[place], MARKERS[number % len(MARKERS)])
        for number, group in enumerate(groups)
        for place, name in enumerate(group)
    }


def band(runs: Sequence[tuple[Array, Array]], end: float = 0) -> Band:
    """Return the band of several runs, each as gradient evaluations and values, up to ``end`` evaluations.

    Values between two records are interpolated, logarithmically. After its last record a run counts as infinite, and so
    does everything that is not finite.

    Examples
    --------
    >>> steps = np.array([1, 2, 3])
    >>> band([(steps, np.array([4.0, 2.0, 1.0])), (steps[:2], np.array([4.0, 2.0]))]).middle.round(3).tolist()
    [4.0, 2.0, inf]
    """
    everywhere = np.unique(np.concatenate([[end], *(steps for steps, _ in runs)]))
    everywhere = everywhere[everywhere > 0].astype(float)
    rows = []
    for steps, values in runs:
        finite = np.isfinite(values)
        if not finite.any():
            rows.append(np.full(len(everywhere), np.inf))
            continue
        logs = np.log(np.maximum(np.asarray(values, dtype=float)[finite], FLOOR))
        rows.append(np.exp(np.interp(everywhere, np.asarray(steps)[finite], logs, right=np.inf)))
    values = np.array(rows)
    finite = np.where(np.isfinite(values), values, -np.inf)
    return Band(everywhere, np.median(values, axis=0), values.min(axis=0), finite.max(axis=0))


def trajectories(
    name: str,
    quantities: Mapping[str, Mapping[str, Band]],
    group: Sequence[str],
    look: Mapping[str, Style],
) -> str:
    """Return a panel: one chart a quantity, one beneath the other, with a few competitors before all others in grey.

    Parameters
    ----------
    name : str
        Identifies the drawing within its page.
    quantities : dict
        By what is written on the vertical axis: a band for each competitor.
    group : sequence of str
        The competitors of this panel, best first; their names stand at the ends of their lines in the last chart.
    look : dict
        All styles.
    """

    def paint(figure: Any) -> None:
        charts = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, bands) in zip(charts, quantities.items(), strict=True):
            grid(axes)
            for other in bands.keys() - set(group):
                axes.plot(bands[other].gradients, _shown(bands[other].middle), color=LINE, lw=1.2, zorder=1)
            for competitor in group:
                _line(axes, bands[competitor], look[competitor])
            logarithmic(axes, _reach(bands.values()), most=6)
            axes.set_title(title, loc="left", fontsize=9, color=MUTED)
        bands = next(reversed(list(quantities.values())))
        last = charts[-1]
        spent = np.concatenate([b.gradients for b in bands.values()])
        logarithmic(last, spent, "x", most=6)
        last.set_xlim(spent.min(), spent.max() if spent.max() > spent.min() else 10 * spent.max())
        last.set_xlabel("gradient evaluations")
        _names_at_the_ends(last, bands, group, look)

    return draw(name, (WIDTH, 55.0 + 125.0 * len(quantities)), paint)


def scatter(name: str, clouds: Mapping[str, Cloud], titles: tuple[str, str], look: Mapping[str, Style]) -> str:
    """Return the ends of all runs as points, both axes logarithmic, with the names of the competitors beside theirs."""
    shown = {competitor: cloud for competitor, cloud in clouds.items() if len(cloud.x)}

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.grid(True)
        axes.tick_params(length=0)
        for competitor, cloud in shown.items():
            style = look[competitor]
            x, y = np.maximum(cloud.x, FLOOR), np.maximum(cloud.y, FLOOR)
            axes.plot(x, y, style.marker, ms=4.5, color=style.colour, mec=CARD, mew=0.4, alpha=0.85, zorder=2)
        for side, values in (("x", [c.x for c in shown.values()]), ("y", [c.y for c in shown.values()])):
            values = np.maximum(np.concatenate([*values, np.zeros(0)]), FLOOR)
            logarithmic(axes, values, side, most=6)
            if len(values) and values.max() > WIDE * values.min():
                axes.set(**{f"{side}lim": (values.min() / AROUND, values.max() * AROUND)})
        axes.set(xlabel=titles[0], ylabel=titles[1])
        if shown:
            _names_beside(figure, axes, shown, look)

    return draw(name, (1.2 * WIDTH, 330.0), paint)


def _shown(values: Array) -> Array:
    """Return values as a line draws them: nothing where they are infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def _reach(bands: Iterable[Band]) -> Array:
    """Return the values that decide how far an axis reaches: what has diverged in the end leaves the chart."""
    kept = [b for b in bands if np.isfinite(b.middle[-1])] or list(bands)
    values = np.concatenate([b.middle for b in kept])
    return np.asarray(values[np.isfinite(values)])


def _line(axes: Any, drawn: Band, style: Style) -> None:
    """Draw the median over the range of the seeds; where it diverges it leaves the chart, or ends with a cross."""
    x, y = drawn.gradients, _shown(drawn.middle)
    axes.fill_between(x, drawn.low, drawn.high, where=np.isfinite(y), color=style.colour, alpha=0.14, lw=0, zorder=2)
    axes.plot(x, y, color=style.colour, ls=style.line, lw=1.7, zorder=3)
    finite = np.flatnonzero(np.isfinite(y))
    if len(finite) and finite[-1] < len(x) - 1:
        axes.plot(x[finite[-1]], y[finite[-1]], "x", ms=7, mew=1.8, color=style.colour, zorder=4)


def _names_at_the_ends(axes: Any, bands: Mapping[str, Band], group: Sequence[str], look: Mapping[str, Style]) -> None:
    """Write each name to the right of the chart, none upon another, tied to its line's end if that is in the chart."""
    low, high = np.log10(axes.get_ylim())
    ends = []
    for competitor in group:
        finite = bands[competitor].middle[np.isfinite(bands[competitor].middle)]
        ends.append((np.log10(finite[-1]) - low) / (high - low) if len(finite) else 1.0)
    places = np.clip(np.array(ends), 0.02, 0.98)
    heights = spread(places, 0.22)
    heights += np.clip(0.0, 0.02 - heights.min(), 1.05 - heights.max())
    for competitor, place, height in zip(group, places, heights, strict=True):
        colour = look[competitor].colour
        tie = {"arrowstyle": "-", "color": colour, "lw": 0.7, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)}
        axes.annotate(
            folded(competitor),
            (1, place),
            xycoords="axes fraction",
            xytext=(1.05, height),
            va="center",
            fontsize=LETTER,
            linespacing=1.0,
            color=colour,
            arrowprops=tie if np.isfinite(bands[competitor].middle[-1]) else None,
            annotation_clip=False,
        )


def folded(name: str) -> str:
    r"""Return a long name in two lines of about equal length, broken after a hyphen.

    Examples
    --------
    >>> folded("adam"), folded("gradient-descent-small")
    ('adam', 'gradient-\ndescent-small')
    """
    cuts = [place + 1 for place, letter in enumerate(name) if letter == "-"]
    if len(name) <= LONG or not cuts:
        return name
    cut = min(cuts, key=lambda place: abs(2 * place - len(name)))
    return f"{name[:cut]}\n{name[cut:]}"


def spread(places: Array, apart: float) -> Array:
    """Return places on a line moved as little as needed to be ``apart`` from each other, about where they were.

    Examples
    --------
    >>> spread(np.array([0.5, 0.5, 0.9]), 0.1)
    array([0.45, 0.55, 0.9 ])
    """
    order = np.argsort(places, kind="stable")
    # Places minus what their ranks need must not descend: the nearest such sequence is an isotonic regression.
    wanted = places[order] - apart * np.arange(len(places))
    blocks: list[list[float]] = []
    for value in wanted:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks] or [np.zeros(0)])
    out = np.empty(len(places))
    out[order] = level + apart * np.arange(len(places))
    return out


def _names_beside(figure: Any, axes: Any, clouds: Mapping[str, Cloud], look: Mapping[str, Style]) -> None:
    """Write each name near the middle of its points, where it covers least."""
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    to_points = axes.transData.transform
    everything = [np.column_stack([np.maximum(c.x, FLOOR), np.maximum(c.y, FLOOR)]) for c in clouds.values()]
    dots = to_points(np.concatenate(everything)) * scale
    frame = axes.get_window_extent().extents * scale
    taken: list[Array] = []
    for competitor, points in zip(clouds, everything, strict=True):
        own = to_points(points) * scale
        middle = own[np.argmin(np.abs(own - np.median(own, axis=0)).sum(axis=1))]
        width = ASPECT * LETTER * len(competitor)
        box = _freest(middle, (width, LETTER), dots, taken, frame)
        taken.append(box)
        corner = np.array([box[0], (box[1] + box[3]) / 2])
        far = np.hypot(*(np.clip(middle, box[:2], box[2:]) - middle)) > LETTER
        label = axes.annotate(
            competitor,
            middle,
            xycoords="figure points",
            xytext=corner,
            textcoords="figure points",
            va="center",
            fontsize=LETTER,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": look[competitor].colour, "lw": 0.7, "shrinkA": 0, "shrinkB": 2}
            if far
            else None,
            zorder=5,
        )
        label.set_in_layout(False)


def _freest(middle: Array, size: tuple[float, float], dots: Array, taken: Sequence[Array], frame: Array) -> Array:
    """Return the box (left, bottom, right, top) of this size, about a point, that covers the fewest dots and names."""
    best, least = np.zeros(4), np.inf
    for distance in (4.0, 10.0, 18.0, 28.0, 40.0, 55.0, 75.0, 100.0, 130.0, 170.0):
        for angle in np.arange(0, 2 * np.pi, np.pi / 8):
            across, up = np.cos(angle), np.sin(angle)
            centre = middle + distance * np.array([across, up]) + np.array([across * size[0], up * size[1]]) / 2
            box = np.concatenate([centre - np.array(size) / 2, centre + np.array(size) / 2])
            if (box[:2] < frame[:2]).any() or (box[2:] > frame[2:]).any():
                continue
            inside = ((dots > box[:2] - 1.5) & (dots < box[2:] + 1.5)).all(axis=1).sum()
            upon = sum(bool((box[:2] < other[2:]).all() and (box[2:] > other[:2]).all()) for other in taken)
            cost = inside + 20 * upon + 0.08 * distance
            if cost < least:
                best, least = box, cost
    if not np.isfinite(least):
        return np.concatenate([middle, middle + np.array(size)])
    return best
