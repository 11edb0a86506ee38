"""The exact flatness of any point of the weight space."""

from dataclasses import dataclass
from typing import Any

from flatmin._core.facts import as_text, rounded
from flatmin.errors import InputError
from flatmin.linalg.metric import condition_number
from flatmin.problem import Problem

__all__ = ["Flatness", "flatness"]


@dataclass(frozen=True)
class Flatness:
    """The exact curvature of the loss at a point.

    Attributes
    ----------
    hessian_trace, gauss_newton_trace : float
        Traces of the Hessian of the loss and of its Gauss-Newton part; the same if X is linear in each single weight,
        as for ``X = L Rᵀ``.
    scaled_trace : float
        The trace whose minimisers are flat: for ``X = L Rᵀ`` the trace of the L block divided by d1 plus the trace of
        the R block divided by d2, for other models the Gauss-Newton trace.
    fibre_minimum : float or None
        The smallest scaled trace over all factors of the same matrix; None if no formula is known (`Chain`).
    balance : float
        ``‖LᵀL − RᵀR‖_*``: zero when the factors are balanced.
    norm_excess : float
        ``(‖L‖² + ‖R‖²) / (2‖X‖_*) − 1``: zero when the factors are norm-minimal for their matrix.
    condition : float
        The largest eigenvalue of D1 and D2 over the smallest nonzero one. If it is 1, flat factors are the norm-minimal
        ones, which are balanced.
    loss : float
        ``(1/m) ‖A(X) − b‖²``.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.Problem(fm.measurements.Entries([0, 0, 1], [0, 1, 0], (2, 2)), [2.0, 4.0, 1.0])
    >>> found = fm.flatness(problem, ([[2.0], [1.0]], [[1.0], [2.0]]))
    >>> round(found.scaled_trace, 6), round(found.fibre_minimum, 6), found.loss
    (5.0, 4.898979, 0.0)
    """

    hessian_trace: float
    gauss_newton_trace: float
    scaled_trace: float
    fibre_minimum: float | None
    balance: float
    norm_excess: float
    condition: float
    loss: float

    def __repr__(self) -> str:
        return as_text("Flatness", rounded(vars(self)))


def flatness(problem: Problem, factors: Any) -> Flatness:
    """Return the exact flatness of a point, interpolating or not, for factors of any width.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors : tuple of ndarray
        The weights, for a product (L, R) of shapes (d1, k) and (d2, k); `InputError` is raised if they do not fit.

    Examples
    --------
    >>> import flatmin as fm
    >>> p = fm.Problem(fm.measurements.Identity((2, 2)), [2.0, 0.0, 0.0, 0.0])
    >>> fm.flatness(p, ([[2.0], [0.0]], [[1.0], [0.0]])).scaled_trace
    2.5
    """
    if not isinstance(problem, Problem):
        raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
    model = problem.parametrization
    weights, measurement, metric = model.check(factors, problem.shape), problem.measurement, problem.metric
    weights = problem.within_range(weights)
    residual = problem.residual(weights)
    return Flatness(
        hessian_trace=model.hessian_trace(weights, measurement, metric, residual),
        gauss_newton_trace=model.gauss_newton_trace(weights, measurement, metric),
        scaled_trace=model.scaled_trace(weights, measurement, metric),
        fibre_minimum=model.fibre_minimum(weights, metric),
        balance=model.balance(weights),
        norm_excess=model.norm_excess(weights),
        condition=condition_number(metric),
        loss=problem.loss.value(residual),
    )
