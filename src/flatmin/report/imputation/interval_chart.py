"""The picture of filled cells with their intervals, next to the known cells of their columns."""

from typing import Any

import numpy as np

from flatmin.report.imputation.filled_table import FilledTable
from flatmin.report.page import Figure
from flatmin.report.pictures.blocks import picked
from flatmin.report.pictures.drawing import FIRST, HOLE, INK, draw, grid
from flatmin.report.pictures.outlined_map import TABLE_WIDTH, are_turned, shortened

__all__ = ["interval_chart"]

#: Largest number of cells of a column in the picture, and approximately of all columns.
MOST_CELLS, MOST_IN_ALL = 12, 100
#: The band of a column contains this share of its known cells.
BAND = 0.9
#: A column has a band if it has at least this number of known cells.
FEWEST_KNOWN = 5


def interval_chart(table: FilledTable) -> Figure | None:
    """Return filled cells with their intervals, column by column; None if no filled cell has an interval."""
    shown = table.holes & np.isfinite(table.low) & np.isfinite(table.high)
    columns = [j for j in table.columns if shown[:, j].any()]
    if not columns:
        return None
    most = min(MOST_CELLS, max(3, MOST_IN_ALL // len(columns)))
    values, low, high = (table.in_units(side) for side in (table.values, table.low, table.high))
    names = [shortened(table.names[j]) for j in columns]
    turned = are_turned(names)
    banded = {j for j in columns if np.count_nonzero(~table.holes[:, j]) >= FEWEST_KNOWN}

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        for place, j in enumerate(columns):
            if j in banded:
                bottom, top = np.quantile(values[~table.holes[:, j], j], [(1 - BAND) / 2, (1 + BAND) / 2])
                axes.bar(place, top - bottom, bottom=bottom, width=0.8, color=HOLE, alpha=0.45, lw=0)
            cells = np.flatnonzero(shown[:, j])
            cells = cells[picked(len(cells), most)]
            x = place + (np.arange(len(cells)) - (len(cells) - 1) / 2) * 0.7 / max(len(cells), 6)
            axes.vlines(x, low[cells, j], high[cells, j], color=FIRST, lw=1.3)
            axes.plot(x, values[cells, j], "o", ms=3, color=INK)
        axes.set_xlim(-0.6, len(columns) - 0.4)
        axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
        axes.tick_params(length=0, labelcolor=INK)
        axes.set_ylabel("standard deviations")

    svg = draw("intervals", (TABLE_WIDTH, 250.0 + (6.0 * max(map(len, names)) if turned else 0.0)), paint)
    part = f" At most {most} cells of a column are shown." if shown.sum(axis=0).max() > most else ""
    caption = "Dots are filled cells, lines their intervals."
    if banded:
        caption = (
            "Dots are filled cells, lines their intervals, and grey bands 90 % of the known cells of the column. A "
            "line as long as its band means that the other columns say nothing about the cell."
        )
    alt = f"Filled cells of {len(columns)} columns with their intervals, in standard deviations of the columns."
    return Figure("Intervals", alt, caption + part, svg=svg, wide=True)
