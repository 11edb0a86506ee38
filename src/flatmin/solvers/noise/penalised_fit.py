"""A quick penalised fit that starts at a similar fit. Its rank adapts, and it has no certificate."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.solvers.convex.proximal_gradient import applies_to, proximal_gradient
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import minimise
from flatmin.solvers.task import Task

__all__ = ["first_factors", "penalised_fit"]

#: Relative gradient at which a fit ends.
FIT_GRADIENT = 1e-4
#: Largest number of changes of rank in a fit.
MAX_CHANGES = 12
#: Singular values of a fit below this multiple of ``tol / penalty`` are dropped.
NEGLIGIBLE = 3e-2
#: Duality gap, as a multiple of ``tol / penalty``, at which a fit is about as accurate as at the relative gradient
#: ``tol``.
GAP_PER_GRADIENT = 0.1
#: Largest number of columns of the first fit.
FIRST_RANK = 10
#: Smallest number of columns that are looked for at a time.
MIN_ADDED = 4
#: Factors are small if their number of columns is at most this share of the smaller side of a table,
SMALL_RANK = 0.25
#: and the larger side is less than this multiple of the smaller one.
TALL = 4


def first_factors(scaled: Scaled, task: Task, penalty: float) -> Array:
    """Return the stacked factors that the penalised fit would have if the measurements were an isometry, as a start."""
    model = scaled.model
    count = min(FIRST_RANK, task.max_rank or FIRST_RANK)
    U, s, V = model.leading(model.dual_matrix(scaled.b), count, task.limits.seed)
    keep = s * penalty > 1
    return model.stack(U[:, keep], s[keep] - 1 / penalty, V[:, keep])


def penalised_fit(
    scaled: Scaled, task: Task, clock: Clock, x: Array, penalty: float, tol: float = FIT_GRADIENT
) -> tuple[Array, Array]:
    """Return stacked factors of a minimum of ``½‖x‖² + (penalty/2) ‖q(x) − b‖²``, and the residual ``b − q``.

    The fit starts at stacked factors x of shape (n, k) and ends at the relative gradient ``tol``.
    """
    model, b = scaled.model, scaled.b
    if applies_to(model, penalty, task.max_rank) and not _has_small_factors(x, model.whitened.shape):
        silent = Limits(seed=task.limits.seed)
        gap = GAP_PER_GRADIENT * tol / penalty  # a gap g moves the residual by ‖Δr‖² ≤ 2 g / penalty
        outcome = proximal_gradient(model, b, clock, silent, (x, np.zeros_like(b)), penalty, gap)
        x = model.stack(outcome.U, outcome.s, outcome.V)
        if outcome.converged:
            return x, b - model.value(x)
    for _ in range(MAX_CHANGES):
        end = minimise(model, x, model.value(x), b, penalty, tol, clock)
        U, s, V = model.canonical(end.x)
        keep = s > NEGLIGIBLE * tol / penalty
        if not keep.all():
            U, s, V = U[:, keep], s[keep], V[:, keep]
        room = (task.max_rank or min(model.whitened.shape)) - len(s)
        u, values, v = model.escapes(end.S, U, V, max(MIN_ADDED, len(s)), task.limits.seed)
        new = np.flatnonzero(values > 1 + 3 * max(end.gradient, tol))[:room]
        if len(new) == 0 or clock.exhausted:
            break
        grown = model.stack(u[:, new], (values[new] - 1) / (2 * penalty), v[:, new])
        x = np.hstack([model.stack(U, s, V), grown])
    return model.stack(U, s, V), b - end.value


def _has_small_factors(x: Array, shape: tuple[int, int]) -> bool:
    """Return whether a fit that starts at stacked factors x is faster over factors than by proximal gradients.

    Proximal gradients decompose a matrix of the size of the smaller side in every step. In a tall table this takes less
    time than a product of the factors with the cells.
    """
    return bool(x.shape[1] <= SMALL_RANK * min(shape) and max(shape) < TALL * min(shape))
