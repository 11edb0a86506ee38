"""Estimators that choose penalty and metric by cross-validation."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.model_selection import check_cv

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators.base import FlatEstimator, MatrixRegressor
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solvers.alphas.cross_validation import CrossValidation, Fold, check_rule, cross_validate

__all__ = ["ChosenPenalty", "CrossValidated"]


@estimator
class ChosenPenalty(FlatEstimator):
    """An estimator that predicts with the certified solution for a penalty and a metric chosen by cross-validation.

    Parameters
    ----------
    alphas : array_like, optional
        Strengths to choose from, by default ``n_alphas`` of them in geometric progression, from the smallest for which
        the matrix is 0 down to ``alpha_ratio`` times it.
    n_alphas, alpha_ratio : int, float
        Number of default strengths, and the ratio of the weakest to the strongest.
    metric_powers : float or sequence of float
        Powers p of ``‖D1^p X D2^p‖_*`` to choose from: 1 is flat, 0 the nuclear norm.
    cv : int, splitter or iterable of pairs
        The number of random folds, a scikit-learn splitter, or pairs of training and held-out indices.
    selection : str
        "best" takes the candidate with the smallest error. "one_standard_error" takes its metric, and the strongest
        penalty whose error is within one standard error of the smallest one.
    n_jobs : int, optional
        Number of threads over folds and powers.

    Attributes
    ----------
    alpha_, metric_power_ : float
        The chosen strength and power.
    alphas_ : ndarray, shape (a,)
        The strengths, descending.
    cv_errors_ : ndarray, shape (p, a, folds)
        Mean squared errors on held-out data. NaN marks strengths that were skipped because errors had clearly risen.
    cross_validation_ : CrossValidation
        Errors, their standard errors, ranks, and whether the best strength is the weakest one.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (CrossValidation,)

    alphas: Any = field(default=None, kw_only=False)
    n_alphas: int = 20
    alpha_ratio: float = 1e-3
    metric_powers: Any = (1.0,)
    cv: Any = 5
    selection: str = "best"
    n_jobs: int | None = None

    def _choose(self, problem: Problem, alphas: Any, unit: float = 1.0, **arguments: Any) -> CrossValidation:
        """Set the attributes of the cross-validation; ``unit`` converts strengths of the problem to the user's ones."""
        found = cross_validate(
            problem,
            alphas=alphas,
            n_alphas=self.n_alphas,
            ratio=self.alpha_ratio,
            rule=self.selection,
            max_rank=self.max_rank,
            tol=self.tol,
            max_iter=self.max_iter,
            seed=self._seed(),
            n_jobs=1 if self.n_jobs is None else self.n_jobs,
            callback=self._show if self.verbose > 1 else None,
            **arguments,
        )
        self.cross_validation_, self.cv_errors_ = found, found.errors
        self.alphas_, self.alpha_, self.metric_power_ = found.alphas * unit, found.alpha * unit, found.metric_power
        return found


@estimator
class CrossValidated(ChosenPenalty, MatrixRegressor):
    """A mixin for regressors that chooses strength and metric power by cross-validation before the final solve.

    In each fold the regressor is fitted to the training samples, including centring, scaling and unpenalised terms,
    and predicts the held-out samples.
    """

    alpha: ClassVar[Any] = None  # type: ignore[misc]  # these three are no parameters
    metric_power: ClassVar[float] = 1.0  # type: ignore[misc]
    refit: ClassVar[bool] = False  # type: ignore[misc]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose strength and metric power by cross-validation, then fit all samples; see `MatrixRegressor.fit`.

        Weights count in the errors on held-out samples, too.
        """
        weights = np.asarray(1.0 if sample_weight is None else sample_weight)
        self._kept = weights > 0 if weights.ndim == 1 and weights.dtype.kind in "biuf" else None
        try:
            return super().fit(X, y, sample_weight)
        finally:
            del self._kept

    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        self._check()
        check_rule(self.selection, "selection")
        samples = _Samples(X, y, weight)
        self._folds = [_Trial(self, samples, *pair).fold() for pair in self._pairs(len(y))]
        try:
            return super()._fit(X, y, weight)  # type: ignore[safe-super]
        finally:
            del self._folds

    def _solve(self, problem: Problem, alpha: Any = None, warm_start: Any = None) -> Factors:
        found = self._choose(problem, self.alphas, metric_powers=self.metric_powers, folds=self._folds)
        return self._keep(problem, found.solution)

    def _pairs(self, m: int) -> list[tuple[Array, Array]]:
        """Return the training and held-out indices of each fold, among the samples of positive weight."""
        if isinstance(self.cv, int | np.integer) and not isinstance(self.cv, bool):
            if not 2 <= self.cv <= m:
                raise InputError(f"cv is {self.cv}, expected from 2 folds to one per sample; here n_samples = {m}")
            label = np.random.default_rng(self._seed()).permutation(m) % self.cv
            return [(np.flatnonzero(label != k), np.flatnonzero(label == k)) for k in range(self.cv)]
        kept = np.ones(m, bool) if self._kept is None else self._kept
        position = np.where(kept, np.cumsum(kept) - 1, -1)
        try:
            given = list(check_cv(self.cv).split(np.zeros((len(kept), 1))))
            pairs = [tuple(position[np.asarray(side)] for side in pair) for pair in given]
        except (IndexError, TypeError) as error:
            raise InputError(f"cv yields no pairs of indices of {len(kept)} samples: {error}") from error
        training_and_held = [tuple(side[side >= 0] for side in pair) for pair in pairs]
        found = [(pair[0], pair[1]) for pair in training_and_held if len(pair) == 2 and all(map(len, pair))]
        if any(np.isin(*pair).any() for pair in found):
            raise InputError("cv trains on a sample that it holds out, expected pairs without common samples")
        if not found:
            raise InputError("cv holds out no sample, expected a number, a splitter, or pairs of index arrays")
        return found

    def _summary(self) -> dict[str, str]:
        lines = super()._summary()
        if not lines:
            return lines
        found = self.cross_validation_
        power, strength = found.chosen
        edge = "; the best one is the weakest tried, lower alpha_ratio" if found.at_edge else ""
        error, spread = found.mean[power, strength], found.standard_error[power, strength]
        lines["alpha"] = f"{found.alpha:.4g} of {len(found.alphas)}, {found.rule.replace('_', ' ')}{edge}"
        if len(found.metric_powers) > 1:
            lines["metric power"] = f"{found.metric_power:.4g} of {len(found.metric_powers)}"
        sure = f" ± {spread:.2g}" if np.isfinite(spread) else ", of one fold"
        return lines | {"held-out mean squared error": f"{error:.4g}{sure}"}


@dataclass(frozen=True, eq=False)
class _Samples:
    """Checked samples, their responses and weights."""

    X: Array
    y: Array
    weight: Array | None

    def take(self, index: Array) -> tuple[Array, Array, Array | None]:
        """Return a part of the samples, with weights of mean 1."""
        weight = None if self.weight is None else self.weight[index] / self.weight[index].mean()
        return self.X[index], self.y[index], weight


class _Captured(Exception):
    """Carries the problem that a regressor builds from its samples."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


@dataclass(frozen=True, eq=False)
class _Trial:
    """A fold: a regressor, its training samples, and its held-out samples."""

    regressor: CrossValidated
    samples: _Samples
    training: Array
    held_out: Array

    def fold(self) -> Fold:
        """Return the problem, the residuals and the size of the fold for `cross_validate`."""
        return Fold(self._problem(), self._residual, len(self.held_out))

    def _problem(self) -> Problem:
        def capture(problem: Problem, **_: Any) -> Factors:
            raise _Captured(problem)

        try:
            self._fitted(capture)
        except _Captured as found:
            return found.problem
        raise InputError("the training samples of a fold determine nothing, expected more samples or fewer folds")

    def _residual(self, factors: Factors) -> Array:
        """Return the weighted residuals of the held-out samples for given factors."""
        fitted, (X, y, _) = self._fitted(lambda problem, **_: factors), self.samples.take(self.held_out)
        left = fitted._predict(X) - y
        weight = self.samples.weight
        return left if weight is None else np.asarray(np.sqrt(weight[self.held_out]) * left)

    def _fitted(self, solve: Callable[..., Factors]) -> Any:
        """Return a copy of the regressor, fitted to the training samples by a given solver."""
        fitted = copy.copy(self.regressor)
        fitted._solve = solve  # type: ignore[method-assign]
        return super(CrossValidated, fitted)._fit(*self.samples.take(self.training))  # type: ignore[safe-super]
