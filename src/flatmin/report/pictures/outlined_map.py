"""A table as colours, with some of its cells outlined."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.pictures.drawing import HOLE, INK, draw, locator

__all__ = ["TABLE_WIDTH", "are_turned", "outlined_map", "shortened"]

#: Width of the picture in points.
TABLE_WIDTH = 640.0
#: Height of a row in points.
ROW = 13.0
#: Longest name of a row or column in letters.
LONGEST = 18
#: Colours reach this number of standard deviations.
LIMIT = 3.0
#: Number of letters in one line of column names; longer lines are turned by a right angle.
LINE_LENGTH = 90


def outlined_map(
    name: str, values: Array, outlined: Array, rows: Sequence[str], columns: Sequence[str], unit: str
) -> str:
    """Return a table as colours, as inline SVG whose ids begin with ``name``; NaN has the colour of missing cells.

    Values (n, d) are in standard deviations, ``outlined`` (n, d) marks cells, and ``unit`` is the text of the colour
    bar.
    """
    names, labels = [shortened(text) for text in columns], [shortened(text) for text in rows]
    turned = are_turned(names)

    def paint(figure: Any) -> None:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        axes.set_facecolor(HOLE)
        cells = np.ma.masked_invalid(values)
        shown = axes.imshow(cells, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="none")
        boxes = [Rectangle((j - 0.46, i - 0.44), 0.92, 0.88) for i, j in np.argwhere(outlined)]
        axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor="#000000", linewidth=1.4))
        axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(length=0, labelcolor=INK)
        axes.xaxis.tick_top()
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(
            shown, ax=axes, location="bottom", aspect=60, fraction=0.04, pad=0.02, shrink=0.6, extend="both"
        )
        bar.set_label(unit)
        bar.outline.set_visible(False)
        bar.locator = locator(7)
        bar.update_ticks()

    height = ROW * len(labels) + 70 + (6.0 * max(map(len, names)) if turned else 14)
    return draw(name, (TABLE_WIDTH, height), paint)


def are_turned(names: Sequence[str]) -> bool:
    """Return whether the names of columns are so long that they are written from bottom to top."""
    return max(map(len, names)) * len(names) > LINE_LENGTH


def shortened(text: str) -> str:
    """Return a name on one line without control characters; the middle of one with more than 18 letters is left out."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    half = LONGEST // 2
    return clean if len(clean) <= LONGEST else f"{clean[: half - 1]}…{clean[-half:]}"
