"""The picture of a completed table, in which the filled cells are outlined."""

import numpy as np

from flatmin.report.imputation.filled_table import FilledTable
from flatmin.report.page import Figure
from flatmin.report.pictures.outlined_map import outlined_map
from flatmin.report.words import counted

__all__ = ["filled_map"]


def filled_map(table: FilledTable) -> Figure:
    """Return the table as colours, with the filled cells outlined."""
    part, holes = table.standardized, table.holes[np.ix_(table.rows, table.columns)]
    names, rows = [table.names[j] for j in table.columns], [table.label(i) for i in table.rows]
    svg = outlined_map("filled-cells", part, holes, rows, names, "standard deviations from the mean of the column")
    count = int(holes.sum())
    alt = f"Heat map of {len(rows)} rows and {len(names)} columns, with {counted(count, 'filled cell')} outlined."
    return Figure("Filled cells", alt, _caption(table), svg=svg, wide=True)


def _caption(table: FilledTable) -> str:
    text = "Outlined cells were missing and are filled; all others are as in your file."
    if not table.holes.any():
        text = "No cell was missing; all are as in your file."
    if table.is_whole:
        return text
    (n, d), (rows, columns) = table.values.shape, table.standardized.shape
    holed = int(table.holes.any(axis=1).sum())
    if rows == n:
        part = f"all {n} rows"
    elif rows == holed:
        part = f"the rows with filled cells, {rows} of {n}"
    else:
        part = f"{rows} of {holed} rows with filled cells" if holed else f"{rows} of {n} rows"
        part += ", evenly spaced"
    part += f", and the {columns} of {d} columns with the most filled cells" if columns < d else ""
    return f"{text} The picture shows {part}." + (" All filled cells are in intervals.csv." if holed else "")
