"""Comparison: the errors of an estimator, of column means and of nearest neighbours on the same held-out cells."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.measurements import Entries
from flatmin.problem import Problem
from flatmin.solvers.alphas.folds import TrainingSplit, splits

__all__ = ["Comparison", "compare", "coverage", "held_out_folds", "joined_fields", "standard_errors"]

#: One of this number of known cells is held out at a time.
ONE_IN = 5
#: The smallest number of held-out cells or pairs from which an error is stated.
FEWEST = 10
#: All folds are held out in turn if a table has at most this number of known cells, otherwise only the first fold.
ALL_FOLDS = 5000
#: Cells are held out in at most this number of rows.
JUDGED_ROWS = 2000
#: Nearest neighbours are sought among at most this number of rows.
DONOR_ROWS = 5000
NEIGHBOURS = 5
#: Names of the errors, and the methods that make them.
ERRORS = {"error": "model", "error_means": "means", "error_neighbours": "neighbours"}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions of m held-out cells by several methods, each made without these cells.

    Attributes
    ----------
    columns : ndarray of int, shape (m,)
        The column of each cell.
    values : ndarray, shape (m,)
        The true values.
    predictions : dict of str to ndarray, shapes (m,)
        The predictions by "model", "means" (of columns) and "neighbours" (the mean of 5 rows that are near in
        standardized columns).
    low, high : ndarray, shape (m,)
        The bounds of the model's intervals, NaN where there are none.
    spread : ndarray, shape (d,)
        The standard deviation of the known cells of each column, 1 for a constant column.
    """

    columns: Array
    values: Array
    predictions: Mapping[str, Array]
    low: Array
    high: Array
    spread: Array

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the comparison over the cells of several ones."""
        return cls(**joined_fields(parts, ("columns", "values", "low", "high")), spread=parts[0].spread)

    def gain(self, method: str) -> float:
        """Return the excess of the squared errors of another method over those of the model, in standard errors."""
        return standard_errors(self._squares(method) - self._squares("model"))

    def overall(self) -> dict[str, float | int | bool | None]:
        """Return the number of cells, the errors, the coverage, and what is said about simpler methods.

        Errors are root mean squares, with every column in units of its standard deviation. The coverage is the share of
        the cells inside their intervals. Column means are as good if the model gains at most one standard error over
        them, and neighbours are better if they gain more than one over the model.
        """
        errors = {name: float(np.sqrt(np.mean(self._squares(method)))) for name, method in ERRORS.items()}
        out: dict[str, float | int | bool | None] = {"cells": len(self.values), **errors}
        out["coverage"] = self._coverage(np.ones(len(self.values), bool))
        out["means_are_as_good"] = self.gain("means") <= 1
        out["neighbours_are_better"] = self.gain("neighbours") < -1
        return out

    def of_column(self, j: int) -> dict[str, float | int | None]:
        """Return the number of cells of a column, the errors in its own units and the coverage; {} without a cell."""
        chosen = self.columns == j
        if not chosen.any():
            return {}
        squares = {name: float(np.mean(self._squares(method)[chosen])) for name, method in ERRORS.items()}
        errors = {name: float(np.sqrt(square) * self.spread[j]) for name, square in squares.items()}
        return {"held_out": int(chosen.sum()), **errors, "coverage": self._coverage(chosen)}

    def _coverage(self, chosen: Array) -> float | None:
        return coverage(self.values[chosen], self.low[chosen], self.high[chosen])

    def _squares(self, method: str) -> Array:
        return np.asarray(((self.predictions[method] - self.values) / self.spread[self.columns]) ** 2)


def joined_fields(parts: Sequence[Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the fields of several comparisons one after another: ``predictions`` by method, and arrays by name."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    methods = parts[0].predictions
    predictions = {method: np.concatenate([part.predictions[method] for part in parts]) for method in methods}
    return {"predictions": predictions, **arrays}


def held_out_folds(
    cells: tuple[Array, Array, Array], shape: tuple[int, int], seed: int, all_folds: int, judged: Array | None = None
) -> Iterator[TrainingSplit]:
    """Yield folds of a fifth of the cells (rows, columns, values) each; none if fewer than 10 cells can be held out.

    Every row and column keeps a cell, and repeated cells are held out together. All folds are yielded if there are at
    most ``all_folds`` cells or if the first fold has fewer than 10, otherwise only the first one. With ``judged``,
    cells are held out in these rows only.
    """
    rows, columns, values = cells
    try:
        found = splits(Problem(Entries(rows, columns, shape), values), ONE_IN, None, seed)
    except InputError:  # there are fewer cells than folds, or every cell is the last one of its row or column
        return
    if judged is not None:
        found = [_within(split, np.isin(rows[split.held_out], judged)) for split in found]
    if sum(len(split.held_out) for split in found) < FEWEST:
        return
    yield from found if len(values) <= all_folds or len(found[0].held_out) < FEWEST else found[:1]


def _within(split: TrainingSplit, kept: Array) -> TrainingSplit:
    """Return a split that holds out only some of its cells."""
    return TrainingSplit(np.concatenate([split.training, split.held_out[~kept]]), split.held_out[kept])


def standard_errors(gains: Array) -> float:
    """Return the mean of gains (m,) in units of its standard error."""
    return float(gains.mean() / max(float(gains.std()) / np.sqrt(len(gains)), np.finfo(float).tiny))


def coverage(values: Array, low: Array, high: Array) -> float | None:
    """Return the share of values (m,) inside their intervals; None without intervals. NaN stands for no interval."""
    known = ~np.isnan(low)
    inside = (low <= values) & (values <= high)
    return float(np.mean(inside[known])) if known.any() else None


def compare(
    X: Array,
    predicted: Callable[[Array], tuple[Array, Array, Array]],
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison | None:
    """Compare predictions on held-out known cells; None if fewer than 10 cells can be held out.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        The table, with NaN in missing cells.
    predicted : callable
        Fits a table with missing cells, and returns the predictions and the lower and upper bounds of all cells.
    seed : int
        Seed of the choice of cells.
    watch : callable
        Called with the number of finished folds, and of all folds.
    """
    spread = np.nanstd(X, axis=0)
    spread[~(spread > 0)] = 1
    folds = list(_held_out(X, seed))
    parts = []
    for done, (rows, columns) in enumerate(folds):
        watch(done, len(folds))
        training = X.copy()
        training[rows, columns] = np.nan
        model, low, high = predicted(training)
        tables = {
            "model": model[rows, columns],
            "means": np.nanmean(training, axis=0)[columns],
            "neighbours": _by_neighbours(training, rows, columns, spread, seed),
        }
        parts.append(Comparison(columns, X[rows, columns], tables, low[rows, columns], high[rows, columns], spread))
    return Comparison.joined(parts) if parts else None


def _held_out(X: Array, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield rows and columns of the cells to hold out."""
    rows, columns = np.nonzero(~np.isnan(X))
    judged = np.random.default_rng(seed).permutation(len(X))[:JUDGED_ROWS]
    for split in held_out_folds((rows, columns, X[rows, columns]), X.shape, seed, ALL_FOLDS, judged):
        yield rows[split.held_out], columns[split.held_out]


def _by_neighbours(training: Array, rows: Array, columns: Array, spread: Array, seed: int) -> Array:
    """Return the predictions of cells by the mean of their nearest neighbours in standardized columns."""
    from sklearn.impute import KNNImputer

    mean = np.nanmean(training, axis=0)
    judged, place = np.unique(rows, return_inverse=True)
    others = np.setdiff1d(np.arange(len(training)), judged)
    more = np.random.default_rng(seed).permutation(others)[: max(0, DONOR_ROWS - len(judged))]
    imputer = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True)
    imputer.fit((training[np.concatenate([judged, more])] - mean) / spread)
    filled: Any = imputer.transform((training[judged] - mean) / spread)
    return np.asarray(filled[place, columns] * spread[columns] + mean[columns])
