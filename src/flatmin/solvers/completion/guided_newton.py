"""Newton's method in factors and multiplier together, for rounds that start with a good multiplier."""

from collections.abc import Callable

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.solvers.factored.newton import (
    Minimum,
    blockwise_inverse,
    conjugate_gradients,
    quartic_minimiser,
    stationarity,
)

__all__ = ["minimise_guided"]

#: The first and the largest damping.
DAMPING = 1e-3
MAX_DAMPING = 0.03
#: Factors of the damping after a step that fails, and after one that helps.
MORE = 8.0
LESS = 0.25
#: A step helps if it shrinks the distance from stationarity, and this or the misfit to at most this share.
ENOUGH = 0.7
#: Smallest accuracy of a linear system, relative to the gradient.
SHARE = 0.1
#: The blocks are inverted again after a step of more products than this factor times the first ones plus this number.
WORN_FACTOR = 2
WORN = 4


def minimise_guided(
    model: QuadraticMap,
    x: Array,
    value: Array,
    y: Array,
    target: Array,
    rho: float,
    tol: float,
    clock: Clock,
    max_steps: int = 40,
) -> tuple[Minimum, Array]:
    """Minimise ``½‖x‖² + (rho/2) ‖q(x) − target‖²`` from x and a multiplier y to a gradient of ``tol ‖x‖``.

    At the minimum ``x = K(y) x`` and ``q(x) + y / rho = target``. Newton steps on these two equations solve

        (I − K(y) + rho JᵀJ) d = −gradient,   y ← rho (target − q(x) − J d),

    which are those of `minimise` except for the y in K(y). There it is ``rho (target − q(x))``, which the square
    ``q(d)`` of a step throws far off where rho is large, so that only short steps descend. Here it is carried along,
    and long steps may leave ``q(d)`` for the next one. K is divided by the norm of its dual matrix where that is above
    one, and the Hessian is damped, so that it is positive definite. A step that improves neither equation is replaced
    by the best one in its direction; then more is damped.

    Parameters
    ----------
    model : QuadraticMap
        The measured model.
    x, value, y : ndarray
        Stacked factors, ``q(x)`` and a multiplier, shapes (n, k), (m,) and (m,).
    target, rho, tol, clock, max_steps
        As in `minimise`.

    Returns
    -------
    end : Minimum
        As from `minimise`.
    y : ndarray, shape (m,)
        The multiplier that was carried along.
    """
    inverse: Callable[[Array], Array] | None = None
    products, usual, damping, scale = 0, 0, DAMPING, float(np.linalg.norm(target))
    misfit = float(np.linalg.norm(value + y / rho - target)) / scale
    for step in range(max_steps + 1):
        residual = target - value
        plain = model.dual_matrix(rho * residual)
        gradient, relative = stationarity(model, plain, x)
        if relative <= tol or step == max_steps or clock.exhausted:
            break
        clock.iterations += 1
        S, derivative = model.dual_matrix(y), model.linearize(x)
        lacking = stationarity(model, S, x)[1]
        aim = max(lacking, min(relative, SHARE * relative))
        goal = max(min(0.1, aim**0.5) * aim, 0.3 * tol) * float(np.linalg.norm(x))
        if inverse is None or products > WORN_FACTOR * usual + WORN:
            inverse, usual = blockwise_inverse(derivative, rho), 0
        products, more = -clock.products, 1 + damping
        S = S * (1 / (more * max(1.0, 1.001 * float(model.leading(S, 1, 0, 0.05)[1][0]))))
        d = conjugate_gradients(model, derivative, S, gradient / more, rho / more, goal / more, inverse, clock)
        products += clock.products
        usual = usual or products
        linear, quadratic = derivative.forward(d), model.value(d)
        ahead, moved = rho * (residual - linear), x + d
        left, curved = stationarity(model, model.dual_matrix(ahead), moved)[1], float(np.linalg.norm(quadratic)) / scale
        t = 1.0
        helps = left < lacking and (left < ENOUGH * lacking or curved < ENOUGH * misfit)
        if not helps:
            t = quartic_minimiser(x, d, residual, linear, quadratic, rho)
            if t == 0:
                break
        damping = min(damping * (LESS if helps else MORE), MAX_DAMPING)
        x, value, y = x + t * d, value + t * linear + t**2 * quadratic, (1 - t) * y + t * ahead
        misfit = float(np.linalg.norm(value + y / rho - target)) / scale
    return Minimum(x, value, plain, relative, step, False), y
