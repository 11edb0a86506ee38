"""Base classes of the estimators: solving a problem, reporting the solution, and checking samples and weights."""

import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from html import escape
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from flatmin._core.arrays import Array
from flatmin._core.progress import Approach, progress
from flatmin._core.validation import in_one_line
from flatmin.errors import InputError
from flatmin.estimators._declaration import estimator
from flatmin.estimators._saved import SavedEstimator
from flatmin.estimators._unpenalised import Features
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution, Status
from flatmin.solvers import flat_minimum, refit

__all__ = ["FlatEstimator", "MatrixRegressor", "user_level"]

#: With ``verbose`` at or above this value, every round of the solver is logged.
EVERY_ROUND = 2


def user_level() -> int:
    """Return the ``stacklevel`` of a warning that names the line of the user's code outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("flatmin."):
        level, frame = level + 1, frame.f_back
    return level


@estimator
class FlatEstimator(SavedEstimator):
    """An estimator whose `fit` builds a `Problem` and keeps its certified solution.

    A subclass passes its problem to `_solve`, which sets the attributes below and returns the factors for predictions.

    Parameters
    ----------
    max_rank : int, optional
        The largest rank allowed.
    tol : float
        Target of the solver for the relative duality gap and, if alpha is 0, for the relative residual.
    max_iter : int, optional
        The largest number of solver steps.
    random_state : int, RandomState instance or None
        Seed of random choices. A unique solution does not depend on the seed.
    verbose : int
        1 reports progress and the result on stderr; 2 also reports every round of the solver.

    Attributes
    ----------
    rank_ : int
        Rank of the matrix that predicts.
    solution_ : Solution
        The solution with its proofs.
    certificate_ : Certificate or None
        The proof that `solution_` is optimal. A refit is not certified. None if the estimator was loaded from a file,
        whose statements nobody has checked.
    flatness_ : Flatness
        The exact flatness of `solution_`.
    noise_ : Noise or None
        The estimates of the noise for ``alpha="auto"``.
    status_ : Status
        How the solve ended; the value of the status is advice to the user.
    n_iter_ : int
        The number of solver steps.
    """

    max_rank: int | None = None
    tol: float = 1e-8
    max_iter: int | None = None
    random_state: Any = 0
    verbose: int = 0

    def _solve(self, problem: Problem, alpha: Any = None, warm_start: Any = None) -> Factors:
        """Solve a problem, set the fitted attributes, and return the factors for predictions."""
        return self._keep(problem, self._minimum(problem, self.alpha if alpha is None else alpha, warm_start))

    def _minimum(self, problem: Problem, alpha: Any, warm_start: Any = None) -> Solution:
        self._check()
        with self._watched() as callback:
            return flat_minimum(
                problem,
                alpha=alpha,
                metric_power=getattr(self, "metric_power", 1.0),
                max_rank=self.max_rank,
                tol=self.tol,
                max_iter=self.max_iter,
                warm_start=warm_start,
                seed=self._seed(),
                callback=callback,
            )

    @contextmanager
    def _watched(self, tol: float | None = None) -> Iterator[Callable[[dict[str, Any]], Any] | None]:
        """Yield the callback of the solver: a log line for each round, or below `EVERY_ROUND` a progress bar."""
        if self.verbose >= EVERY_ROUND:
            yield self._show
            return
        with progress(self.verbose > 0, Approach(self.tol if tol is None else tol)) as callback:
            yield callback

    def _check(self) -> None:
        """Raise `InputError` if ``refit`` or ``verbose``, which the solver does not check, is out of range."""
        wanted, verbose = getattr(self, "refit", False), self.verbose
        if not (isinstance(wanted, bool | np.bool_) or (isinstance(wanted, str) and wanted == "auto")):
            raise InputError(f"refit is {wanted!r}, expected True, False or 'auto'")
        if not isinstance(verbose, int | np.integer | np.bool_) or verbose < 0:
            raise InputError(f"verbose is {verbose!r}, expected a whole number of at least 0")

    def _keep(self, problem: Problem, solution: Solution) -> Factors:
        """Set the fitted attributes from a solution and return the factors for predictions."""
        factors = self._chosen(problem, solution)
        self._record(solution, factors)
        return factors

    def _record(self, solution: Solution, factors: Factors) -> None:
        """Set the fitted attributes, and warn if the solution is neither certified nor within ``tol``."""
        self.solution_, self.noise_ = solution, solution.noise
        self.rank_ = solution.parametrization.width(factors)
        self.certificate_, self.flatness_ = solution.checked_certificate, solution.flatness
        self.status_, self.n_iter_ = solution.status, max(1, solution.iterations)
        if not (solution.status.certified or self._reached(solution)):
            warnings.warn(
                f"{solution.status.name}: {solution.status.value}", ConvergenceWarning, stacklevel=user_level()
            )
        if self.verbose:
            sys.stderr.write(f"{self}\n")

    def _reached(self, solution: Solution) -> bool:
        """Return whether a solution meets a ``tol`` that is too loose for a certificate."""
        proof = solution.checked_certificate
        fits = proof.objective == "penalised" or proof.relative_residual <= self.tol
        return solution.status is Status.not_certified and fits and abs(proof.relative_gap) <= self.tol

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        """Return the factors for predictions: those of the solution or of its refit."""
        if not self._wants_refit(solution):
            return solution.factors
        return refit(problem, solution) if solution.noise is None else solution.noise.refit

    def _wants_refit(self, solution: Solution) -> bool:
        """Return whether a refit predicts; "auto" requires that it has fewer degrees of freedom than there are data."""
        wanted, noise = getattr(self, "refit", False), solution.noise
        return noise is not None and noise.sigma is not None if isinstance(wanted, str) else bool(wanted)

    def _seed(self) -> int:
        """Return the solver's seed: the number in ``random_state``, or one drawn from it."""
        state = self.random_state
        if isinstance(state, int | np.integer) and state >= 0:
            return int(state)
        if not (state is None or isinstance(state, np.random.RandomState) or state is np.random):
            raise InputError(f"random_state is {state!r}, expected a whole number of at least 0, a RandomState or None")
        return int(check_random_state(state).randint(2**31 - 1))

    def _show(self, progress: dict[str, float]) -> None:
        facts = ", ".join(f"{name} {value:.4g}" for name, value in progress.items())
        sys.stderr.write(f"[{type(self).__name__}] {facts}\n")

    def _summary(self) -> dict[str, str]:
        """Return the results of a fitted estimator as short lines by name; none before `fit`."""
        if not hasattr(self, "solution_"):
            return {}
        solution, noise, proof = self.solution_, self.noise_, self.certificate_
        d1, d2 = (len(side) for side in solution.parametrization.pair(solution.factors))
        lines = {
            "rank": f"{self.rank_} of a {d1} × {d2} matrix",
            "status": f"{self.status_.name}. {self.status_.value}",
            "certificate": "none, as the model was read from a file",
        }
        if proof is not None:
            holds = "holds" if proof.holds else "does not hold"
            gap = f"relative gap {proof.relative_gap:.1e}, {proof.objective} value {proof.value:.6g}"
            lines["certificate"] = f"{holds}; {gap}"
        if noise is not None:
            lines |= _about(noise)
        return lines

    def __str__(self) -> str:
        """Return the parameters of the estimator and, after `fit`, its results."""
        return "\n".join([repr(self), *(f"  {name}: {text}" for name, text in self._summary().items())])

    def _html(self) -> str:
        """Return scikit-learn's diagram and, after `fit`, a table of the results."""
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left;vertical-align:top;padding-right:1em">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self._summary().items()
        )
        diagram = str(estimator_html_repr(self))
        return f"{diagram}<table>{rows}</table>" if rows else diagram

    def _repr_html_inner(self) -> str:
        return self._html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        bundle["text/plain"] = str(self)
        if "text/html" in bundle:
            bundle["text/html"] = self._html()
        return bundle


def _about(noise: Noise) -> dict[str, str]:
    """Return the results about the noise as short lines by name."""
    lines = {"alpha": f"{noise.alpha:.4g}, from the noise"}
    if noise.sigma is not None and noise.std_error is not None:
        lines["noise"] = f"standard deviation {noise.sigma:.4g} ± {noise.std_error:.2g}"
    if not noise.agrees:
        lines["rank in doubt"] = f"the penalty finds {noise.penalised_rank}, the test of residuals {noise.rank}"
    return lines


@estimator
class MatrixRegressor(RegressorMixin, FlatEstimator):  # type: ignore[misc]
    """A regressor whose prediction is linear in an unknown matrix.

    A subclass defines the measurement of a sample, the parametrization of the matrix, and the prediction.

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty on the scaled trace. 0 fits exactly; "auto" estimates the strength from the noise.
    metric_power : float
        The power p in the norm ``‖D1^p X D2^p‖_*``: 1 is the flat norm, 0 the nuclear norm.
    refit : bool or "auto"
        Whether predictions come from a refit: the least-squares fit at the rank found. A refit is free of the penalty's
        bias, but not certified. "auto" refits if alpha is "auto" and matrices of this rank have fewer degrees of
        freedom than there are data.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (Features,)

    alpha: Any = field(default="auto", kw_only=False)
    metric_power: float = 1.0
    refit: Any = "auto"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = not getattr(self, "fit_linear", False)  # on scikit-learn's linear test data
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the matrix to samples.

        Parameters
        ----------
        X : array_like, shape (m, n_features)
            The samples.
        y : array_like, shape (m,)
            The responses.
        sample_weight : array_like, shape (m,), optional
            Weights of the squared residuals, up to a common factor. Samples of weight 0 are left out.

        Raises
        ------
        ValueError
            If X or y cannot be used; the message says why.
        """
        with in_one_line():
            X, y = validate_data(self, X, y, dtype=float, y_numeric=True)
        return self._fit_weighted(X, y.astype(float), sample_weight)

    def _fit_weighted(self, X: Array, y: Array, sample_weight: Any) -> Self:
        """Fit to checked samples and weights that are not checked yet."""
        if sample_weight is None:
            return self._fit(X, y, None)
        weight = _check_sample_weight(sample_weight, X.real, dtype=float, ensure_non_negative=True)
        kept = weight > 0
        if not kept.any():
            raise InputError("sample_weight is zero throughout, expected a positive weight for some sample")
        return self._fit(X[kept], y[kept], weight[kept] / weight[kept].mean())

    @abstractmethod
    def _fit(self, X: Array, y: Array, weight: Array | None) -> Self:
        """Fit to checked samples with weights of mean 1; None stands for equal weights."""

    def predict(self, X: Any) -> Array:
        """Return the predictions (m,) for samples X (m, n_features)."""
        return self._predict(self._checked(X))

    def _checked(self, X: Any) -> Array:
        """Return samples for predictions as an array (m, n_features), or raise `ValueError`."""
        check_is_fitted(self)
        with in_one_line():
            return np.asarray(validate_data(self, X, dtype=float, reset=False))

    @abstractmethod
    def _predict(self, X: Array) -> Array:
        """Return the predictions for checked samples."""
