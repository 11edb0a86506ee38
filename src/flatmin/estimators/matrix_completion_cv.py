"""Matrix completion with penalty and metric chosen by cross-validation over cells."""

from typing import Any

import numpy as np

from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.estimators._completion.completer import Completer
from flatmin.estimators._completion.fitting import Completed, plain, regularization
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._cross_validation import ChosenPenalty
from flatmin.estimators._declaration import estimator
from flatmin.solvers.alphas.cross_validation import check_rule
from flatmin.solvers.alphas.folds import TrainingSplit, splits

__all__ = ["MatrixCompletionCV"]

#: The smallest number of folds.
MIN_FOLDS = 2


@estimator
class MatrixCompletionCV(ChosenPenalty, Completer):
    """`MatrixCompletion` with the strength of the penalty and the metric that predict held-out cells best.

    The observed cells are dealt into folds. For each fold, offsets and matrix are fitted to the other cells along a
    descending sequence of strengths, each solve starting from the one before. Predictions come from the certified
    solution for all cells at the chosen strength. Predictions do not come from an unpenalised least-squares fit at the
    rank found, because that predicts worse for a matrix that is only approximately of low rank.

    The units of columns and the estimated penalties on offsets are computed from all cells, including held-out ones.
    These are few numbers, so the errors on held-out cells become only slightly too small.

    Parameters
    ----------
    alphas : array_like, optional
        Strengths to choose from, in the units of ``alpha`` of `MatrixCompletion`; by default ``n_alphas`` of them in
        geometric progression, from the smallest for which the matrix is 0.
    cv : int
        The number of folds. The last training cell of a row or column is never held out.

    References
    ----------
    Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the Royal Statistical Society
    B 36(2), 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import MatrixCompletionCV
    >>> rng = np.random.default_rng(0)
    >>> table = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 8)) + 0.3 * rng.standard_normal((40, 8))
    >>> model = MatrixCompletionCV(n_alphas=8).fit(np.where(rng.random(table.shape) < 0.2, np.nan, table))
    >>> model.status_.name, model.cv_errors_.shape
    ('regularized_minimum', (3, 8, 5))
    """

    n_alphas: int = 10
    metric_powers: Any = (0.0, 0.5, 1.0)

    def _completed(self, cells: Observations) -> Completed:
        self._check()
        check_rule(self.selection, "selection")
        cells = cells.like(cells.model)
        unit = regularization(1.0, cells.entries.shape)
        found = self._choose(
            cells.problem,
            self._strengths(unit),
            unit,
            metric_powers=np.atleast_1d(np.asarray(self.metric_powers, dtype=object)),
            folds=[(split.training, split.held_out) for split in self._splits(cells)],
            pair=cells.pair,
        )
        return Completed.penalised(cells, plain(cells, found.solution))

    def _splits(self, cells: Observations) -> list[TrainingSplit]:
        folds = self.cv
        if not isinstance(folds, int | np.integer) or isinstance(folds, bool) or folds < MIN_FOLDS:
            raise InputError(f"cv is {folds!r}, expected a whole number of folds of at least 2")
        n, d = cells.entries.shape
        try:
            return splits(cells.cells, min(int(folds), cells.entries.size), None, self._seed())
        except InputError:
            raise InputError(
                f"of the {cells.entries.size} cells observed (n_samples={n}, n_features={d}) none can be held out, "
                "expected rows and columns with two of them; or use MatrixCompletion"
            ) from None

    def _strengths(self, unit: float) -> Any:
        """Return ``alphas`` in the units of the problem, or None."""
        if self.alphas is None:
            return None
        found = np.atleast_1d(numeric(self.alphas, "alphas"))
        if found.ndim != 1 or not found.size or np.any(found <= 0):
            raise InputError(f"alphas is {self.alphas!r}, expected one or more positive numbers")
        return found / unit
