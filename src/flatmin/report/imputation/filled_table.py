"""FilledTable: a completed table as its report shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.proofs.certificate import Certificate
from flatmin.report.pictures.blocks import picked

__all__ = ["FilledTable"]

#: Largest number of rows and of columns of the picture of filled cells.
MOST_ROWS = 36
MOST_COLUMNS = 24


@dataclass(frozen=True, eq=False)
class FilledTable:
    """A table of n rows whose d numeric columns are completed.

    Attributes
    ----------
    values, low, high : ndarray, shape (n, d)
        The completed columns, and the bounds of the intervals of their cells.
    holes : ndarray of bool, shape (n, d)
        Which cells were missing.
    mean, spread : ndarray, shape (d,)
        The mean and the standard deviation of each column in the table that was fitted.
    names : sequence of str
        The names of the d columns.
    labels : sequence of str or None
        The names of the rows.
    summary : dict
        The fields of ``summary.json``.
    certificate : Certificate or None
        The certificate of the fit; None for a model that was read from a file.
    input_name, command : str
        The name of the file, and the command that repeats the work.
    notes : sequence of str
        Sentences about the table for the reader.
    """

    values: Array
    low: Array
    high: Array
    holes: Array
    mean: Array
    spread: Array
    names: Sequence[str]
    labels: Sequence[str] | None
    summary: Mapping[str, Any]
    certificate: Certificate | None
    input_name: str
    command: str
    notes: Sequence[str] = ()

    @cached_property
    def rows(self) -> Array:
        """The rows in the picture: all, or else up to 36 rows that have filled cells, evenly spaced."""
        if len(self.values) <= MOST_ROWS:
            return np.arange(len(self.values))
        holed = np.flatnonzero(self.holes.any(axis=1))
        holed = holed if len(holed) else np.arange(len(self.values))
        return np.asarray(holed[picked(len(holed), MOST_ROWS)])

    @cached_property
    def columns(self) -> Array:
        """The columns in the picture: all, or else the 24 that have most filled cells."""
        order = np.argsort(-self.holes.sum(axis=0), kind="stable")[:MOST_COLUMNS]
        return np.sort(order)

    def in_units(self, values: Array) -> Array:
        """Return values (n, d) in standard deviations from the mean of their column; 0 in constant columns."""
        return np.asarray((values - self.mean) / np.where(self.spread > 0, self.spread, np.inf))

    @cached_property
    def standardized(self) -> Array:
        """The part in the picture, in standard deviations from the mean of each column."""
        return np.asarray(self.in_units(self.values)[np.ix_(self.rows, self.columns)])

    @property
    def is_whole(self) -> bool:
        """Whether the picture shows all rows and columns."""
        return bool(self.standardized.shape == self.values.shape)

    def label(self, row: int) -> str:
        """Return the name of a row, or its number from 0."""
        return str(row) if self.labels is None else str(self.labels[row])
