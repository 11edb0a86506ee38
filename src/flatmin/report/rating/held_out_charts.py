"""Pictures of held-out values: their predictions, and the errors by the number of values of a row."""

from itertools import pairwise
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.page import Figure
from flatmin.report.pictures.drawing import FIRST, HOLE, INK, MUTED, SECOND, WIDTH, draw, grid, legend, locator
from flatmin.report.rating.rated_table import HeldOutValues

__all__ = ["error_chart", "prediction_chart"]

#: Values are grouped if there are more different ones than this.
MOST_GROUPS = 11
#: The fewest held-out pairs of a group in a picture.
FEWEST = 10
#: The bars of predictions contain these shares of a group.
WIDE, NARROW = 0.9, 0.5


def prediction_chart(found: HeldOutValues) -> Figure | None:
    """Return the distribution of predictions for each true value; None if all groups of values are small."""
    groups = [chosen for chosen in _by_value(found.values) if chosen.sum() >= FEWEST]
    if not groups:
        return None
    place = np.array([float(np.mean(found.values[chosen])) for chosen in groups])
    width = 0.5 * float(np.min(np.diff(place))) if len(place) > 1 else 0.5
    guesses = [found.predictions["model"][chosen] for chosen in groups]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        axes.plot(place, place, color=MUTED, lw=0.8, ls=(0, (4, 3)), label="equal")
        for share, colour, alpha in ((WIDE, HOLE, 0.6), (NARROW, FIRST, 0.7)):
            ends = np.array([np.quantile(part, [(1 - share) / 2, (1 + share) / 2]) for part in guesses])
            label = f"{100 * share:.0f} % of predictions"
            axes.bar(place, ends[:, 1] - ends[:, 0], width, ends[:, 0], color=colour, alpha=alpha, lw=0, label=label)
        axes.plot(place, [np.median(part) for part in guesses], "o", ms=4, color=INK, label="median")
        axes.xaxis.set_major_locator(locator(7))
        axes.yaxis.set_major_locator(locator(6))
        axes.set(xlabel="true value", ylabel="prediction")
        legend(figure)

    grouped = " Neighbouring values are grouped." if len(np.unique(found.values)) > MOST_GROUPS else ""
    caption = (
        "Held-out values and their predictions. On the dashed line both are equal. Predictions lie closer to the mean "
        f"than values do, because a part of each value is noise.{grouped}"
    )
    alt = f"Distribution of predictions for {len(groups)} groups of true values."
    return Figure("Predicted and true values", alt, caption, svg=draw("predictions", (WIDTH, 250.0), paint))


def error_chart(found: HeldOutValues) -> Figure | None:
    """Return the error by the number of values of a row; None if all rows have about the same number."""
    edges = 2 ** np.arange(int(np.log2(max(found.counts.max(), 1))) + 2)
    steps = [(found.counts >= low) & (found.counts < high) for low, high in pairwise(edges)]
    steps = [chosen for chosen in steps if chosen.sum() >= FEWEST]
    if len(steps) < 2:
        return None
    place = np.array([float(np.exp(np.mean(np.log(found.counts[chosen])))) for chosen in steps])

    def paint(figure: Any) -> None:
        from matplotlib.ticker import NullLocator, ScalarFormatter

        axes = figure.add_subplot()
        grid(axes)
        lines = (("model", "flatmin", FIRST), ("offsets", "offsets", SECOND), ("mean", "mean", MUTED))
        for method, label, colour in lines:
            axes.plot(place, [found.error(method, chosen) for chosen in steps], "o-", ms=4, color=colour, label=label)
        axes.set(xscale="log", xlabel="values of the row", ylabel="error")
        axes.set_xticks(edges[:-1][:: max(1, len(edges) // 6)])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(place[0] / 1.3, place[-1] * 1.3)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(locator(5))
        legend(figure)

    caption = "Root mean squared errors of held-out values, by the number of other values of the row."
    alt = f"Errors of three methods for {len(steps)} groups of rows."
    return Figure("Errors by the number of values", alt, caption, svg=draw("errors-by-count", (WIDTH, 250.0), paint))


def _by_value(values: Array) -> list[Array]:
    """Return which pairs have each value, or are in each group of values if there are many."""
    distinct = np.unique(values)
    if len(distinct) <= MOST_GROUPS:
        return [values == value for value in distinct]
    count = int(np.clip(len(values) // (2 * FEWEST), 1, MOST_GROUPS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)))
    group = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return [group == k for k in range(len(edges) - 1)]
