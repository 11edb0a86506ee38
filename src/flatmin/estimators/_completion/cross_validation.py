"""CrossValidated: the choice of penalty and metric of a regressor by cross-validation."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.model_selection import check_cv

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators.base import MatrixRegressor
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solvers.alphas.cross_validation import CrossValidation, Fold, check_rule, cross_validate

__all__ = ["CrossValidated"]


class CrossValidated(MatrixRegressor):
    """A mixin for regressors that chooses strength and metric power before the final solve.

    In each fold the regressor is fitted to the training samples, with its centring, scaling and unpenalised terms, and
    predicts the others.
    """

    alphas: Any
    n_alphas: int
    alpha_ratio: float
    metric_powers: Any
    cv: Any
    selection: str
    n_jobs: int | None
    cross_validation_: CrossValidation

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose strength and metric power by cross-validation, then fit all samples.

        Parameters
        ----------
        X : array_like
            The samples, as the regressor takes them.
        y : array_like, shape (m,)
            The responses.
        sample_weight : array_like, shape (m,), optional
            Weights of the squared residuals, up to a common factor, in fits and in errors.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y cannot be used, or there are too few samples for the folds.
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
        found = cross_validate(
            problem,
            alphas=self.alphas,
            n_alphas=self.n_alphas,
            ratio=self.alpha_ratio,
            metric_powers=self.metric_powers,
            folds=self._folds,
            rule=self.selection,
            max_rank=self.max_rank,
            tol=self.tol,
            max_iter=self.max_iter,
            seed=self._seed(),
            n_jobs=1 if self.n_jobs is None else self.n_jobs,
            callback=self._show if self.verbose > 1 else None,
        )
        self.cross_validation_ = found
        self.alphas_, self.cv_errors_ = found.alphas, found.errors
        self.alpha_, self.metric_power_ = found.alpha, found.metric_power
        return self._keep(problem, found.solution)

    def _pairs(self, m: int) -> list[tuple[Array, Array]]:
        """Return the positions, among samples of positive weight, of training and held-out ones in each fold."""
        if isinstance(self.cv, int | np.integer) and not isinstance(self.cv, bool):
            if not 2 <= self.cv <= m:
                raise InputError(f"cv is {self.cv}, expected from 2 folds to one a sample; here n_samples = {m}")
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
        """Return some of them, with weights of mean 1."""
        weight = None if self.weight is None else self.weight[index] / self.weight[index].mean()
        return self.X[index], self.y[index], weight


class _Captured(Exception):
    """Carries the problem of a regressor out of its fit."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


@dataclass(frozen=True, eq=False)
class _Trial:
    """A regressor with the samples of a fold, to be fitted by a given solver."""

    regressor: CrossValidated
    samples: _Samples
    training: Array
    held_out: Array

    def fold(self) -> Fold:
        """Return the fold."""
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
        """Return the weighted residuals of the held-out samples for these factors."""
        fitted, (X, y, _) = self._fitted(lambda problem, **_: factors), self.samples.take(self.held_out)
        left = fitted._predict(X) - y
        weight = self.samples.weight
        return left if weight is None else np.asarray(np.sqrt(weight[self.held_out]) * left)

    def _fitted(self, solve: Callable[..., Factors]) -> Any:
        """Return a copy of the regressor, fitted with this solver."""
        fitted = copy.copy(self.regressor)
        fitted._solve = solve  # type: ignore[method-assign]
        return super(CrossValidated, fitted)._fit(*self.samples.take(self.training))  # type: ignore[safe-super]
