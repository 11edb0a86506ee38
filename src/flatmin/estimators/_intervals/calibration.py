"""Calibration: the widths of prediction intervals of cells, which held-out cells have decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._intervals.credibility import Credibility
from flatmin.estimators._intervals.fold_fits import FoldFits
from flatmin.estimators._intervals.quantiles import checked_quantile, effective_number, effective_weights, quantile_of
from flatmin.estimators._intervals.row_scales import RowScales
from flatmin.estimators._intervals.unknown import unknown_variances
from flatmin.estimators._intervals.variance import variance_coefficients, variance_share

__all__ = ["Calibration"]

#: The smallest number of held-out cells from which intervals are made.
MIN_CELLS = 20
#: The smallest number of held-out cells of a column in which predictions without error count as certain.
EXACT_CELLS = 5
#: The smallest number of held-out cells of a column that has a quantile of its own.
MIN_COLUMN_CELLS = 20
#: The quantile of all cells counts for this number of cells in the quantile of a column.
POOL = 50.0
#: Number of times that the variances of columns and then the coefficients are estimated.
SWEEPS = 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scales of errors, ``w_ij² = s_j² r_i (a + b h_ij + b' h_ij s̄² / s_j² + c ẑ_ij²)``, and quantiles of errors.

    s_j² is the mean squared error of the held-out cells of column j over r_i and the sum in parentheses, pulled to that
    of all cells. It is 0 in a column with five or more held-out cells that are all predicted without error, such as a
    constant column. s̄² is the mean of s_j² over columns, r_i the relative variance of row i (`RowScales`), h the
    leverage of the cell times the noise (`CellPredictor`), and ẑ the prediction without the constant. The nonnegative
    coefficients fit the squared errors of held-out cells over s² r by least squares. The errors that come from factors
    grow with the noise of the column (b) or with that of the other columns (b'). In these ratios s² is estimated
    without the cell. Each cell has the weight of the number of cells that it stands for, and in least squares also the
    inverse of its variance.

    The half width of an interval is w times a quantile of ``|error| / w``: for equal weights the value at position
    ``(n + 1) level`` among those of the n held-out cells, interpolated between neighbours. In a column with 20 or more
    held-out cells it is the mean of the quantile of its own cells and that of all cells, which counts for 50.

    Attributes
    ----------
    column_variances : ndarray, shape (d2,)
        s_j², in squared units of the fit.
    row_scales : RowScales
        Level and prior of the relative variances of rows.
    coefficients : ndarray, shape (4,)
        a, b, b' and c.
    floor : float
        The smallest w, in units of the fit: the accuracy of the solution.
    scores : ndarray, shape (n,)
        ``|error| / w`` of the held-out cells, ascending.
    score_columns : ndarray of int, shape (n,)
        Their columns.
    weights : ndarray, shape (n,)
        The relative numbers of cells that they stand for.
    """

    column_variances: Array
    row_scales: RowScales
    coefficients: Array
    floor: float
    scores: Array = field(repr=False)
    score_columns: Array = field(repr=False)
    weights: Array = field(repr=False)

    @classmethod
    def from_folds(cls, fit: CellPredictor, held: FoldFits, accuracy: float) -> Self:
        """Calibrate the intervals of a fit to all cells.

        ``accuracy`` is the relative accuracy of the solution.

        Raises
        ------
        InputError
            If fewer than 20 cells were held out.
        """
        n, d = len(held.values), fit.offsets.columns.size
        if n < MIN_CELLS:
            raise InputError(f"{n} cells can be held out to calibrate intervals, expected at least {MIN_CELLS}")
        size = float(np.max(np.abs(held.values)))
        floor = accuracy * size if size else float(np.finfo(float).tiny) ** 0.25
        wrong = np.bincount(held.columns, np.abs(held.errors) > floor, d)
        exact = (wrong == 0) & (np.bincount(held.columns, minlength=d) >= EXACT_CELLS)
        if not exact[held.columns].all():
            held = held.take(np.flatnonzero(~exact[held.columns]))
        squares, j = held.errors**2 + floor**2, held.columns
        relative, share = _relative(held), np.ones(len(squares))
        weights = effective_weights(held.weights, j, d)
        for _ in range(SWEEPS):
            scaled = squares / (relative * share)
            by_column = Credibility.from_groups(scaled, j, d, weights)
            variances = np.where(exact & (by_column.counts == 0), 0.0, by_column.estimates)
            others = by_column.without(scaled, j, weights)
            terms = _terms(held.leverages, held.predictions - fit.offsets.constant, others / np.mean(variances))
            coefficients = variance_coefficients(terms, squares / (relative * others), held.weights)
            share = variance_share(coefficients, terms)
        w = np.sqrt(np.maximum(relative * others * share, floor**2))
        scores = np.abs(held.errors) / w
        order = np.argsort(scores, kind="stable")
        rows = RowScales.from_fit(fit)
        return cls(variances, rows, coefficients, floor, scores[order], j[order], held.weights[order])

    def scales(self, fit: CellPredictor, i: Array, j: Array, rows: RowFit | None = None) -> Array:
        """Return w at positions (n,) in given rows, by default those of the fit.

        At an unknown row or column, with the position −1, scales are those of the average one. If it has no observed
        cell, w² has the variance of its factor and offset in addition, in which b s² is the variance of the noise.
        """
        relative = np.append(self.row_scales.of(fit, rows), 1.0)
        typical = float(np.mean(self.column_variances))
        columns, h = np.append(self.column_variances, typical)[j], fit.noise * fit.leverages(i, j, rows)
        terms = _terms(h, fit.at(i, j, rows) - fit.offsets.constant, columns / typical)
        squares = columns * relative[i] * variance_share(self.coefficients, terms)
        noise = float(np.sum(self.coefficients[1:3])) * typical * fit.noise
        squares += unknown_variances(fit, i, j, noise, rows)
        return np.asarray(np.sqrt(np.maximum(squares, self.floor**2)))

    def quantiles(self, level: float) -> Array:
        """Return the half width of intervals of a confidence level in units of w, for every column, shape (d2 + 1,).

        The last one is for unknown columns.

        Raises
        ------
        InputError
            If there are too few held-out cells for this level.
        """
        pooled = checked_quantile(self.scores, self.weights, level, "cells")
        out = np.full(len(self.column_variances) + 1, pooled)
        for j, own, weights in self._own_scores():
            quantile, n = quantile_of(own, weights, level), effective_number(weights)
            if quantile is not None:
                out[j] = (POOL * pooled + n * quantile) / (POOL + n)
        return out

    @property
    def deviations(self) -> Array:
        """The root mean square of ``error / w`` for every column and unknown ones, shape (d2 + 1,), pulled together."""
        pooled = float(np.average(self.scores**2, weights=self.weights))
        out = np.full(len(self.column_variances) + 1, pooled)
        for j, own, weights in self._own_scores():
            n = effective_number(weights)
            out[j] = (POOL * pooled + n * float(np.average(own**2, weights=weights))) / (POOL + n)
        return np.asarray(np.sqrt(out))

    def _own_scores(self) -> list[tuple[int, Array, Array]]:
        """Return the columns that have quantiles of their own, with their scores, ascending, and the weights."""
        ends = np.cumsum(np.bincount(self.score_columns, minlength=len(self.column_variances)))[:-1]
        parts = np.split(np.argsort(self.score_columns, kind="stable"), ends)
        return [
            (j, self.scores[part], self.weights[part]) for j, part in enumerate(parts) if len(part) >= MIN_COLUMN_CELLS
        ]


def _relative(held: FoldFits) -> Array:
    """Return the relative variance of the row of every held-out cell, in the fit that did not use the cell."""
    of_fits = [RowScales.from_fit(fit).of(fit) for fit in held.fits]
    return np.asarray(np.stack(of_fits)[held.folds, held.rows])


def _terms(leverages: Array, predictions: Array, columns: Array) -> Array:
    """Return the terms (n, 4) of w² over s² r; ``columns`` (n,) are the variances of columns over their mean."""
    fixed = np.divide(leverages, columns, out=np.zeros_like(leverages), where=columns > 0)
    return np.stack([np.ones_like(leverages), leverages, fixed, predictions**2], axis=1)
