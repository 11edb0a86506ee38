"""Fitting the data as exactly as rounding allows, and telling data that no matrix fits."""

from __future__ import annotations

import numpy as np

from flatmin.metric import Array
from flatmin.solvers.augmented_lagrangian import Outcome
from flatmin.solvers.factored import StackedProduct

__all__ = ["fit_exactly", "project_data"]


def fit_exactly(model: StackedProduct, b: Array, outcome: Outcome, steps: int = 3) -> Outcome:
    """Move the solution onto the data by minimum-norm Gauss-Newton steps at its rank, while they help."""
    from scipy.sparse.linalg import LinearOperator, lsmr

    x = model.stack(outcome.U, outcome.s, outcome.V)
    residual = b - model.value(x)
    for _ in range(steps):
        size = float(np.linalg.norm(residual))
        if x.size == 0 or size <= 1e-14 * float(np.linalg.norm(b)):
            break
        derivative = model.linearize(x)
        operator = LinearOperator(
            (len(b), x.size),
            matvec=lambda d, J=derivative: J.forward(d.reshape(x.shape[::-1]).T),
            rmatvec=lambda y, J=derivative: J.adjoint(y).T.ravel(),
            dtype=float,
        )
        step = lsmr(operator, residual, atol=1e-10, btol=1e-10, maxiter=100)[0].reshape(x.shape[::-1]).T
        moved = b - model.value(x + step)
        if float(np.linalg.norm(moved)) > 0.9 * size:
            break
        x, residual = x + step, moved
    outcome.U, outcome.s, outcome.V = model.canonical(x)
    return outcome


def project_data(model: StackedProduct, b: Array) -> tuple[Array, float]:
    """Return the data nearest to b that some matrix fits, and how far they are from b, relatively.

    The distance is 0 where the least-squares iteration did not settle the question.
    """
    from scipy.sparse.linalg import lsmr

    operator = model.whitened.as_linear_operator()
    result = lsmr(operator, b, atol=1e-13, btol=1e-13, conlim=1e14, maxiter=2000)
    fitted = operator.matvec(result[0])
    residual = b - fitted
    distance = float(np.linalg.norm(residual)) / float(np.linalg.norm(b))
    steepness = float(np.linalg.norm(operator.rmatvec(residual)))
    settled = steepness <= 1e-6 * float(result[5]) * float(np.linalg.norm(residual))
    return fitted, distance if settled else 0.0
