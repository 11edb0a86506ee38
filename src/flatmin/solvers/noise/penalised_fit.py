"""A fit with a penalty, from one nearby: quick, of changing rank, and without a certificate."""

from __future__ import annotations

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.solvers.convex.proximal_gradient import applies_to, proximal_gradient
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import minimise
from flatmin.solvers.task import Task

__all__ = ["first_factors", "penalised_fit"]

#: The relative gradient to which fits are made, in at most so many changes of rank; columns that count for this share
#: of it are dropped.
COARSE, CHANGES, NEGLIGIBLE = 1e-4, 12, 3e-2
#: Where the gap is the measure, this times the relative gradient, over the price of misfit, is as good.
GAP = 0.1
#: The first fit has at most so many columns, and so many are added at a time, or twice as many.
FIRST_RANK, FEWEST_ADDED = 10, 4


def first_factors(scaled: Scaled, task: Task, price: float) -> Array:
    """Return stacked factors of the fit where misfit costs ``price``, were the measurements an isometry."""
    model = scaled.model
    count = min(FIRST_RANK, task.max_rank or FIRST_RANK)
    U, s, V = model.leading(model.dual_matrix(scaled.b), count, task.limits.seed)
    keep = s * price > 1
    return model.stack(U[:, keep], s[keep] - 1 / price, V[:, keep])


def penalised_fit(
    scaled: Scaled, task: Task, clock: Clock, x: Array, price: float, tol: float = COARSE
) -> tuple[Array, Array]:
    """Return stacked factors of a minimum of ``½‖x‖² + (price/2) ‖q(x) − b‖²``, and the residual ``b − q``.

    Parameters
    ----------
    scaled : Scaled
        The problem in the units of a solve.
    task : Task
        Its seed and largest rank.
    clock : Clock
        Shared with the caller.
    x : ndarray, shape (n, k)
        Stacked factors of a fit nearby.
    price : float
        What misfit costs.
    tol : float
        The relative gradient at the end.
    """
    model, b = scaled.model, scaled.b
    if applies_to(model, price, task.max_rank):
        silent = Limits(seed=task.limits.seed)
        gap = GAP * tol / price  # a gap g moves the residual by ‖Δr‖² ≤ 2 g / price
        outcome = proximal_gradient(model, b, clock, silent, (x, np.zeros_like(b)), price, gap)
        x = model.stack(outcome.U, outcome.s, outcome.V)
        if outcome.converged:
            return x, b - model.value(x)
    for _ in range(CHANGES):
        end = minimise(model, x, model.value(x), b, price, tol, clock)
        U, s, V = model.canonical(end.x)
        keep = s > NEGLIGIBLE * tol / price
        if not keep.all():
            U, s, V = U[:, keep], s[keep], V[:, keep]
        room = (task.max_rank or min(model.whitened.shape)) - len(s)
        u, values, v = model.escapes(end.S, U, V, max(FEWEST_ADDED, len(s)), task.limits.seed)
        new = np.flatnonzero(values > 1 + 3 * max(end.gradient, tol))[:room]
        if len(new) == 0 or clock.exhausted:
            break
        grown = model.stack(u[:, new], (values[new] - 1) / (2 * price), v[:, new])
        x = np.hstack([model.stack(U, s, V), grown])
    return model.stack(U, s, V), b - end.value
