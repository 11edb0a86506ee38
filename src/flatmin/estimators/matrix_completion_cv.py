"""Completion whose strength and metric are chosen by cross-validation over cells."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.estimators._completion.completer import Completer
from flatmin.estimators._completion.fitting import Completed, plain, regularization
from flatmin.estimators._completion.observations import Observations
from flatmin.solvers.alphas.cross_validation import CrossValidation, check_rule, cross_validate
from flatmin.solvers.alphas.folds import Split, splits

__all__ = ["MatrixCompletionCV"]

#: Smallest number of folds.
FEWEST = 2


class MatrixCompletionCV(Completer):
    """`MatrixCompletion` with the penalty and the metric that predict held-out cells best.

    The observed cells are dealt into folds. For each, offsets and matrix are fitted to the others along a path of
    falling strengths, every solution started at the one before. The certified solution for all cells at the chosen
    strength is what predicts; it is not refitted, which on data of nearly low rank would be worse.

    Units of columns, and strengths of offsets that are estimated, are measured once, on all cells: a few numbers beside
    many cells, but errors on held-out cells are a little smaller for it.

    Parameters
    ----------
    alphas : array_like, optional
        Strengths to choose from, as ``alpha`` of `MatrixCompletion`; by default ``n_alphas`` of them, spaced
        geometrically below the strongest that leaves anything.
    n_alphas, alpha_ratio : int, float
        How many, and the weakest over the strongest.
    metric_powers : float or iterable of float
        Powers p of the metric to choose from, from 0 (nuclear norm) to 1 (flat).
    cv : int
        The number of folds. A cell is not held out where its row or its column would be left without any.
    selection : str
        "best", or "one_standard_error": the strongest penalty, with the metric of the best one, whose error is at most
        one standard error above the least.
    n_jobs : int, optional
        Threads over folds and metric powers.
    input, max_rank, offsets, offset_alpha, scale, missing_values, add_indicator, keep_empty_features, tol, max_iter, \
random_state, verbose
        As for `MatrixCompletion`.

    Attributes
    ----------
    alpha_, metric_power_ : float
        What was chosen.
    alphas_ : ndarray, shape (a,)
        The strengths that were tried, descending.
    cv_errors_ : ndarray, shape (p, a, folds)
        Mean squared errors on held-out cells, in the units of the fit; NaN where errors had clearly risen before.
    cross_validation_ : CrossValidation
        Errors, their standard errors, ranks, and whether the best strength is the weakest one.
    row_factors_, column_factors_, offsets_, mean_, scale_, row_ids_, column_ids_
        As for `MatrixCompletion`.
    rank_, certificate_, flatness_, status_, n_iter_, noise_, solution_, n_features_in_, feature_names_in_
        As for `MatrixCompletion`; ``noise_`` is None.

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

    def __init__(
        self,
        alphas: Any = None,
        *,
        n_alphas: int = 10,
        alpha_ratio: float = 1e-3,
        metric_powers: Any = (0.0, 0.5, 1.0),
        cv: int = 5,
        selection: str = "best",
        n_jobs: int | None = None,
        input: str = "table",
        max_rank: int | None = None,
        offsets: str = "auto",
        offset_alpha: Any = "auto",
        scale: Any = "auto",
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())

    def _completed(self, cells: Observations) -> Completed:
        self._check()
        check_rule(self.selection, "selection")
        cells = cells.like(cells.model)
        settings = self._settings(self._show if self.verbose > 1 else None)
        unit = regularization(1.0, cells.entries.shape)
        found = cross_validate(
            cells.problem,
            alphas=None if self.alphas is None else _strengths(self.alphas) / unit,
            n_alphas=self.n_alphas,
            ratio=self.alpha_ratio,
            metric_powers=np.atleast_1d(np.asarray(self.metric_powers, dtype=object)),
            folds=[(split.training, split.held_out) for split in self._splits(cells, settings.seed)],
            rule=self.selection,
            pair=cells.pair,
            n_jobs=1 if self.n_jobs is None else self.n_jobs,
            **settings.solver,
        )
        self._set(found, unit)
        return Completed.penalised(cells, plain(cells, found.solution))

    def _splits(self, cells: Observations, seed: int) -> list[Split]:
        folds = self.cv
        if not isinstance(folds, int | np.integer) or isinstance(folds, bool) or folds < FEWEST:
            raise InputError(f"cv is {folds!r}, expected a whole number of folds of at least 2")
        n, d = cells.entries.shape
        try:
            return splits(cells.cells, min(int(folds), cells.entries.size), None, seed)
        except InputError:
            raise InputError(
                f"of the {cells.entries.size} cells observed (n_samples={n}, n_features={d}) none can be held out, "
                "expected rows and columns with two of them; or use MatrixCompletion"
            ) from None

    def _set(self, found: CrossValidation, unit: float) -> None:
        """Set the attributes about the cross-validation, in the units of the parameters."""
        self.cross_validation_, self.metric_power_ = found, found.metric_power
        self.alphas_, self.cv_errors_ = found.alphas * unit, found.errors


def _strengths(alphas: Any) -> Array:
    """Return given strengths as numbers."""
    found = np.atleast_1d(numeric(alphas, "alphas"))
    if found.ndim != 1 or not found.size or np.any(found <= 0):
        raise InputError(f"alphas is {alphas!r}, expected one or more positive numbers")
    return found
