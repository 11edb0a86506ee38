"""PairComparison: the errors of a regressor of pairs, of the mean and of offsets on the same held-out pairs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.estimators._comparison import coverage, held_out_folds, joined_fields, standard_errors
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.table import in_rows
from flatmin.estimators._pairs.ids import PairIds

__all__ = ["PairComparison", "compare_pairs"]

#: All folds are held out in turn if there are at most this number of values, otherwise only the first fold.
ALL_FOLDS = 2000
#: Names of the errors, and the methods that make them.
ERRORS = {"error": "model", "error_mean": "mean", "error_offsets": "offsets"}

#: Fits pairs (m, 2) and values (m,), and returns the predictions of other pairs (h, 2) and the bounds of their values.
Predictor = Callable[[Array, Array, Array], tuple[Array, Array, Array]]


@dataclass(frozen=True, eq=False)
class PairComparison:
    """Predictions of h held-out values by several methods, each made without these values.

    Attributes
    ----------
    counts : ndarray of int, shape (h,)
        The number of other values of the row of each pair.
    values : ndarray, shape (h,)
        The true values.
    predictions : dict of str to ndarray, shapes (h,)
        The predictions by "model", "mean" (of all values) and "offsets" (a constant plus an offset for each row and
        column, with estimated penalties).
    low, high : ndarray, shape (h,)
        The bounds of the model's intervals, NaN where there are none.
    """

    counts: Array
    values: Array
    predictions: Mapping[str, Array]
    low: Array
    high: Array

    def overall(self) -> dict[str, Any]:
        """Return the number of pairs, the errors, the coverage, and what is said about offsets.

        Errors are root mean squares in the unit of the values. The coverage is the share of the values inside their
        intervals. Offsets are as good if the model gains at most one standard error over them.
        """
        out: dict[str, Any] = {"pairs": len(self.values)}
        out |= {name: float(np.sqrt(np.mean(self.squares(method)))) for name, method in ERRORS.items()}
        out["coverage"] = coverage(self.values, self.low, self.high)
        out["offsets_are_as_good"] = standard_errors(self.squares("offsets") - self.squares("model")) <= 1
        return out

    def squares(self, method: str) -> Array:
        """Return the squared errors of a method, shape (h,)."""
        return np.asarray((self.predictions[method] - self.values) ** 2)


def compare_pairs(
    pairs: Array, values: Array, predicted: Predictor, seed: int, watch: Callable[[int, int], None]
) -> PairComparison | None:
    """Compare predictions of held-out values; None if fewer than 10 can be held out.

    A fifth of the pairs is held out at a time. Every row and column keeps a value, and values of equal pairs are held
    out together. ``watch`` is called with the number of finished folds, and of all folds.
    """
    ids, i, j, y = PairIds.from_triples(pairs, values)
    shape = len(ids.row_ids), len(ids.column_ids)
    folds = list(held_out_folds((i, j, y), shape, seed, ALL_FOLDS))
    parts = []
    for done, split in enumerate(folds):
        watch(done, len(folds))
        training, held = split.training, split.held_out
        offsets = _offsets(i[training], j[training], y[training], shape)
        model, low, high = predicted(pairs[training], y[training], pairs[held])
        methods = {
            "model": model,
            "mean": np.full(len(held), float(np.mean(y[training]))),
            "offsets": offsets.at(i[held], j[held]),
        }
        counts = np.bincount(i[training], minlength=shape[0])[i[held]]
        parts.append(PairComparison(counts, y[held], methods, low, high))
    return PairComparison(**joined_fields(parts, ("counts", "values", "low", "high"))) if parts else None


def _offsets(i: Array, j: Array, y: Array, shape: tuple[int, int]) -> Any:
    """Return the offsets that fit best without a matrix."""
    cells = Observations.from_cells(in_rows(i, j, y, shape)[0], None, Strengths.named("both", "auto"))
    return cells.offsets((np.zeros((shape[0], 0)), np.zeros((shape[1], 0))))
