"""Charts for particular families: signals, pairs of outputs, signed bars and histograms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.pictures.blocks import picked
from flatmin.report.pictures.drawing import (
    CARD,
    FIRST,
    INK,
    LINE,
    MUTED,
    SECOND,
    WIDTH,
    draw,
    grid,
    legend,
    locator,
)

__all__ = ["MOST_POINTS", "histogram", "pairs", "signal", "strengths"]

#: Largest number of points in a chart, evenly spaced.
MOST_POINTS = 600
#: Largest length of a signal that is drawn as points.
MOST_SAMPLES = 80


def signal(name: str, found: Array, truth: Array | None = None, *, axis: str = "index") -> str:
    """Return a chart of a real signal and the truth: as a line, or as points if short; NaN is a gap."""
    place = picked(len(found), 2 * MOST_POINTS)
    few = len(found) <= MOST_SAMPLES

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        axes.axhline(0, color=MUTED, lw=0.8, zorder=0)
        if truth is not None and few:
            axes.plot(place, truth[place], "o", ms=9, mfc="none", mec=SECOND, mew=1.5, label="truth", clip_on=False)
        elif truth is not None:
            axes.plot(place, truth[place], color=SECOND, lw=4, alpha=0.45, label="truth")
        if few:
            axes.vlines(place, 0, found[place], color=LINE, lw=1.2, zorder=1)
        marks = {"marker": "o", "ms": 4.5, "ls": "none", "clip_on": False} if few else {"lw": 1.1}
        axes.plot(place, found[place], color=FIRST, label="recovered", **marks)
        axes.xaxis.set_major_locator(locator(7, integer=True))
        axes.yaxis.set_major_locator(locator(5))
        axes.set_xlabel(axis)
        legend(figure)

    return draw(name, (WIDTH, 200.0), paint)


def pairs(name: str, given: Array, found: Array, axes_titles: tuple[str, str]) -> str:
    """Return pairs of numbers as points, with the line of equality."""
    place = picked(len(given), MOST_POINTS)
    everything = np.concatenate([given, found])
    low, high = float(everything.min()), float(everything.max())
    room = 0.04 * (high - low) or 1.0

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.grid(True)
        axes.tick_params(length=0)
        axes.plot([low, high], [low, high], color=SECOND, lw=1.2, label="where both agree", zorder=1)
        axes.plot(given[place], found[place], "o", ms=3.5, color=FIRST, alpha=0.6, mew=0, label="one input", zorder=2)
        axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
        axes.set(xlabel=axes_titles[0], ylabel=axes_titles[1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(locator(5))
        legend(figure)

    return draw(name, (WIDTH, 290.0), paint)


def strengths(name: str, values: Array, labels: Sequence[str], truth: Array | None = None) -> str:
    """Return signed numbers as bars in two colours; the true numbers are diamonds."""
    place = np.arange(len(values))

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        axes.axhline(0, color=MUTED, lw=0.8)
        for sign, colour, word in ((1, FIRST, "positive"), (-1, SECOND, "negative")):
            here = sign * values > 0
            if here.any():
                axes.bar(place[here], values[here], width=0.6, color=colour, label=word)
        if truth is not None and len(truth):
            axes.plot(np.arange(len(truth)), truth, "D", ms=6, mfc=CARD, mec=INK, mew=1.2, label="truth", clip_on=False)
        shown = picked(max(len(values), 1), 12)
        axes.set_xticks(shown, [labels[i] if i < len(labels) else "" for i in shown])
        axes.yaxis.set_major_locator(locator(5))
        axes.set_xlim(-0.6, max(len(values), 0 if truth is None else len(truth)) - 0.4)
        legend(figure)

    return draw(name, (WIDTH, 220.0), paint)


def histogram(name: str, values: Array, axis: str, counted: str) -> str:
    """Return a histogram."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, 31) if high > low else np.array([0.9 * low, 1.1 * high or 1.0])

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        axes.hist(values, edges, color=FIRST)
        axes.xaxis.set_major_locator(locator(6))
        axes.yaxis.set_major_locator(locator(4, integer=True))
        axes.set(xlabel=axis, ylabel=counted)

    return draw(name, (WIDTH, 200.0), paint)
