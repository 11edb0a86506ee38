"""Odds that cells of the rows of a table are missing."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._intervals.credibility import Credibility

__all__ = ["missing_odds"]

#: The largest odds, as a multiple of their mean.
LARGEST_ODDS = 20.0
#: Rows whose other cells are all missing count as having this number of other observed cells.
LEAST_CELLS = 0.1


def missing_odds(counts: Array, width: int) -> Array:
    """Return the odds (n,) that an observed cell of each row was missing, relative to their mean.

    ``counts`` (n,) are the numbers of observed cells of the rows, of which none exceeds the number of columns
    ``width``. The odds of a cell follow from the other ``width − 1`` cells of its row, and are pulled to those of all
    rows as far as the numbers of missing cells differ only by chance (`Credibility`). So a held-out cell, weighted by
    its odds, stands for the missing cells in rows that have as many observed cells as its own row has without it.
    All odds are 1 if no cell is missing.
    """
    if np.all(counts == width):
        return np.ones(len(counts))
    missing, widths = width - np.asarray(counts, dtype=float), np.full(len(counts), float(width))
    rows = Credibility.from_sums(missing, widths, float(np.sum(missing * counts)) / width)
    odds = (rows.prior * rows.mean + missing) / (rows.prior * (1 - rows.mean) + np.maximum(counts - 1, LEAST_CELLS))
    return np.asarray(np.minimum(odds, LARGEST_ODDS * np.mean(odds)) / np.mean(odds))
