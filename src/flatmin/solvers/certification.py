"""Certificates for solutions of any origin."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin._validation import numeric
from flatmin.certificates import Certificate, certificate_of
from flatmin.errors import InputError
from flatmin.problem import Problem
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["certify"]


def certify(
    problem: Problem, factors_or_matrix: Any, dual: Any = None, *, alpha: float = 0.0, metric_power: float = 1.0
) -> Certificate:
    """Return what can be proved about a solution, whoever made it.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors_or_matrix : tuple of ndarray, or ndarray of shape (d1, d2)
        A tuple is factors, an array is the matrix itself.
    dual : array_like, shape (m,), optional
        Any dual vector; None lets the solver find one.
    alpha, metric_power : float
        As in `flat_minimum`: which problem the solution is meant to solve.

    Returns
    -------
    Certificate
        ``holds`` is False, never an error, where nothing can be proved.

    Raises
    ------
    InputError
        If the solution or the dual does not fit the problem.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> fm.certify(instance.problem, instance.truth).holds
    True
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
    if isinstance(factors_or_matrix, tuple):
        factors = problem.parametrization.check(factors_or_matrix, problem.shape)
    else:
        X = numeric(factors_or_matrix, "the matrix (factors are passed as a tuple)")
        if X.shape != problem.shape:
            raise InputError(f"the matrix has shape {X.shape}, expected {problem.shape}; factors are passed as a tuple")
        U, s, Vt = np.linalg.svd(X, full_matrices=False)
        factors = (U * s, Vt.T)
    if dual is None:
        dual = flat_minimum(problem, alpha=alpha, metric_power=metric_power).certificate.dual
    return certificate_of(problem, factors, dual, alpha=alpha, metric_power=metric_power)
