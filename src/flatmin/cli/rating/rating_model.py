"""RatingModel: a regressor fitted to values of pairs, with what was learned about the values and the errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cli.fitted_estimator import MODEL, RANGE, earlier_results, fitted, intervals, numbers_of
from flatmin.cli.output import RATING
from flatmin.estimators import PairRegressor
from flatmin.estimators._intervals.arguments import folds_of
from flatmin.estimators._pairs.pair_comparison import PairComparison, compare_pairs
from flatmin.formats.tables import PairTable

__all__ = ["RatingModel"]

#: With more than this number of values, the penalty that was chosen without the held-out values is kept for all values.
MANY_VALUES = 200_000
#: Largest number of folds that calibrate the intervals of held-out pairs. Each is a fit for every fold of these pairs.
COMPARED_FOLDS = 5
#: What is known of the errors.
ERRORS = ("pairs", "error", "error_mean", "error_offsets", "coverage", "offsets_are_as_good", "confidence")


@dataclass(frozen=True, eq=False)
class RatingModel:
    """A fitted regressor, the names and facts of its data, and its errors on held-out pairs.

    Attributes
    ----------
    estimator : PairRegressor
        The fitted estimator.
    names : tuple of str
        The names of the columns of rows, columns and values in the file.
    facts : dict
        Whether all values are "whole" numbers, the "smallest" and the "largest" of them, their "mean" and their
        standard deviation ("spread").
    held_out : dict or None
        The errors, None if too few pairs could be held out.
    converged : bool
        Whether the fit reached its tolerance.
    comparison : PairComparison or None
        The held-out pairs; None for a model that was read from a file.
    """

    estimator: PairRegressor
    names: tuple[str, ...]
    facts: Mapping[str, Any]
    held_out: Mapping[str, Any] | None
    converged: bool
    comparison: PairComparison | None = None

    @classmethod
    def fit(
        cls, table: PairTable, confidence: float, settings: Mapping[str, Any], watch: Callable[[int, int], None]
    ) -> Self:
        """Fit the values of pairs, and compare with simpler methods on held-out pairs.

        Above `MANY_VALUES` the fit to all values takes an automatic penalty, and whether a refit predicts, from the fit
        without a fold, unless that one has a refit whose rank the penalty does not give. The penalty of noise falls
        with the square root of the number of values, and so does the penalty here.
        """
        assert table.values is not None
        compared: list[tuple[PairRegressor, int]] = []

        def predicted(pairs: Array, values: Array, others: Array) -> tuple[Array, Array, Array]:
            folds = min(COMPARED_FOLDS, folds_of("auto", len(values)))
            estimator, _ = fitted(PairRegressor(**{**settings, "calibration": folds}), pairs, values)
            compared[:] = [(estimator, len(values))]
            return estimator.predict(others), *intervals(estimator, others, confidence, (len(others),))

        found = compare_pairs(table.pairs, table.values, predicted, settings["random_state"], watch)
        watch(1, 1)
        chosen = dict(settings)
        if compared and len(table.values) > MANY_VALUES and settings["alpha"] == "auto":
            earlier, n = compared[0]
            rank = earlier.solution_.rank
            if rank and (not earlier._refits or earlier.row_factors_.shape[1] == rank):
                alpha = earlier.alpha_ * float(np.sqrt(n / len(table.values)))
                chosen |= {"alpha": alpha, "refit": earlier._refits}
        estimator, converged = fitted(PairRegressor(**chosen), table.pairs, table.values)
        held_out = None if found is None else {**found.overall(), "confidence": confidence}
        return cls(estimator, table.names, _facts(table.values), held_out, converged, found)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the model in a directory of results, or raise `InputError`."""
        names, facts, held_out, converged = earlier_results(directory, RATING, _known)
        return cls(PairRegressor.load(directory / MODEL), names, facts, held_out, converged)

    def save(self, directory: Path) -> str:
        """Write the estimator to a directory of results, and return the name of its file."""
        self.estimator.save(directory / MODEL)
        return MODEL

    def with_rows(self, table: PairTable) -> Self:
        """Return the model with further rows, computed from their values without another fit."""
        return replace(self, estimator=self.estimator.fold_in(table.pairs, table.values))


def _facts(values: Array) -> dict[str, Any]:
    whole = bool(np.all(np.mod(values, 1) == 0))
    numbers = float(values.min()), float(values.max()), float(values.mean()), float(values.std())
    return dict(zip(RANGE, (whole, *numbers), strict=True))


def _known(summary: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any], dict[str, Any] | None, bool]:
    """Return the names, facts and errors, and whether the fit converged, from the summary of a result."""
    names = tuple(map(str, summary["names"]))
    held_out, facts = summary["held_out"], numbers_of(summary["values"], RANGE)
    return names, facts, held_out and numbers_of(held_out, ERRORS), bool(summary["converged"])
