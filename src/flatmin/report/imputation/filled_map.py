"""The picture of a completed table, in which the filled cells are outlined."""

from typing import Any

import numpy as np

from flatmin.report.imputation.filled_table import FilledTable
from flatmin.report.page import Figure
from flatmin.report.pictures.drawing import INK, draw, locator
from flatmin.report.words import counted

__all__ = ["WIDTH", "filled_map", "shortened"]

#: Width of the picture in points.
WIDTH = 640.0
#: Height of a row in points.
ROW = 13.0
#: Longest name of a row or column in letters.
LONGEST = 18
#: Colours reach this number of standard deviations.
LIMIT = 3.0


def filled_map(table: FilledTable) -> Figure:
    """Return the table as colours, with the filled cells outlined."""
    part, holes = table.standardized, table.holes[np.ix_(table.rows, table.columns)]
    names = [shortened(table.names[j]) for j in table.columns]
    rows = [shortened(table.label(i)) for i in table.rows]
    turned = max(map(len, names)) * len(names) > 90

    def paint(figure: Any) -> None:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        shown = axes.imshow(part, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="none")
        boxes = [Rectangle((j - 0.46, i - 0.44), 0.92, 0.88) for i, j in np.argwhere(holes)]
        axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor="#000000", linewidth=1.4))
        axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0, labelcolor=INK)
        axes.xaxis.tick_top()
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(
            shown, ax=axes, location="bottom", aspect=60, fraction=0.04, pad=0.02, shrink=0.6, extend="both"
        )
        bar.set_label("standard deviations from the mean of the column")
        bar.outline.set_visible(False)
        bar.locator = locator(7)
        bar.update_ticks()

    height = ROW * len(rows) + 70 + (6.0 * max(map(len, names)) if turned else 14)
    svg = draw("filled-cells", (WIDTH, height), paint)
    count = int(holes.sum())
    alt = f"Heat map of {len(rows)} rows and {len(names)} columns, with {counted(count, 'filled cell')} outlined."
    return Figure("Filled cells", alt, _caption(table), svg=svg, wide=True)


def _caption(table: FilledTable) -> str:
    text = "Outlined cells were missing and are filled; all others are as in your file."
    if table.is_whole:
        return text
    (n, d), (rows, columns) = table.values.shape, table.standardized.shape
    which = "rows with filled cells, evenly spaced" if rows < n and table.holes.any() else "rows"
    part = f"{rows} of {n} {which}" if rows < n else f"all {n} rows"
    part += f", and the {columns} of {d} columns with the most filled cells" if columns < d else ""
    return f"{text} The picture shows {part}. All filled cells are in intervals.csv."


def shortened(text: str) -> str:
    """Return a name on one line without control characters; the middle of one with more than 18 letters is left out."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    half = LONGEST // 2
    return clean if len(clean) <= LONGEST else f"{clean[: half - 1]}…{clean[-half:]}"
