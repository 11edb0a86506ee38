"""Certificates for solutions of any origin."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.parametrizations import Chain
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.cone_certificate import trace_is_determined, trivial_dual
from flatmin.proofs.judge import judge
from flatmin.solvers.choose import flat_minimum
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.interpolating import prove_unique

__all__ = ["certify", "factors_of"]

#: Largest relative distance that a given matrix may have from the cone of its model.
ASYMMETRIC = 1e-8


def certify(
    problem: Problem,
    factors_or_matrix: Any,
    dual: Any = None,
    *,
    uniqueness_dual: Any = None,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    randomized: bool = True,
    time_limit: float | None = None,
) -> Certificate:
    """Return what can be proved about a solution of any origin.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors_or_matrix : tuple of ndarray, or ndarray of shape (d1, d2)
        The solution: a tuple of factors, or the matrix as an array. For models X = U U*, a vector s stands for the
        matrix s s*.
    dual : array_like, shape (m,), optional
        Any dual vector; None lets the solver find one.
    uniqueness_dual : array_like, shape (m,), optional
        For positive semidefinite matrices and measurements of rank one: any dual vector whose matrix proves uniqueness.
        None lets the solver find one.
    alpha, metric_power : float
        The problem that the solution is meant to solve, as in `flat_minimum`.
    randomized : bool
        Whether to accept bounds that fail with the probability `Certificate.failure_probability`, at most 1e-10.
        Without them nothing is proved for matrices of more than 8000 rows and columns.
    time_limit : float, optional
        Seconds after which the search for a dual vector ends; the best dual vector so far is used.

    Returns
    -------
    Certificate
        ``holds`` is False if nothing can be proved; that is not an error.

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
    factors = problem.within_range(factors_of(problem, factors_or_matrix))
    task = Task(problem, alpha, metric_power, limits=Limits(time_limit=time_limit))
    if not problem.is_convex:
        task.expect_defaults("metric_power")
    trivial = problem.is_convex and trace_is_determined(problem) and alpha == 0 and metric_power == 1
    if trivial and dual is None and uniqueness_dual is None:
        proof = prove_unique(problem, factors)
        return proof if randomized else proof.sure()
    if dual is None:
        dual = trivial_dual(problem) if trivial else _dual(task)
    return judge(
        problem,
        factors,
        dual,
        uniqueness_dual,
        alpha=task.alpha,
        metric_power=task.metric_power,
        randomized=randomized,
    )


def _dual(task: Task) -> Array:
    power, limit = task.metric_power, task.limits.time_limit
    return flat_minimum(task.problem, alpha=task.alpha, metric_power=power, time_limit=limit).checked_certificate.dual


def factors_of(problem: Problem, factors_or_matrix: Any) -> Factors:
    """Return the factors of a solution, given as factors, as a matrix, or (for models X = U U*) as a signal."""
    model, shape = problem.parametrization, problem.shape
    if isinstance(factors_or_matrix, tuple):
        return problem.check(factors_or_matrix)
    hermitian = model.cone.is_hermitian
    X = numeric(factors_or_matrix, "the matrix (factors are passed as a tuple)", allow_complex=hermitian)
    if model.cone.is_semidefinite and X.ndim == 1:
        return problem.check((X[:, None],))
    if X.shape != shape:
        raise InputError(f"the matrix has shape {X.shape}, expected {shape}; factors are passed as a tuple")
    if hermitian and np.linalg.norm(X - X.conj().T) > ASYMMETRIC * np.linalg.norm(X):
        raise InputError("the matrix is not symmetric (Hermitian), expected one of this model; use (X + X*)/2")
    U, s, V = model.cone.decompose(X, np.eye(shape[1]))
    lost = float(np.linalg.norm((U * s) @ V.conj().T - X))
    if lost > ASYMMETRIC * np.linalg.norm(X):
        raise InputError("the matrix has negative eigenvalues, expected a positive semidefinite one for this model")
    gamma = model.isotropy(problem.metric) if isinstance(model, Chain) else None
    if gamma is not None:
        return model.flattest(U, gamma * s, V, problem.metric)
    identity = Metric(np.ones(shape[0])), Metric(np.ones(shape[1]))
    return problem.check(model.flattest(U, s, V, identity))
