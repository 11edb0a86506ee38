"""The penalized loss of one round of training, and its minimization by conjugate gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import QuadraticMap

__all__ = ["PenalisedLoss", "minimise"]

#: The preconditioner is computed again after this number of steps.
PRECONDITIONER_STEPS = 5
#: A line search ends when the absolute slope is below this share of the slope at its beginning.
SLOPE_SHARE = 1e-3
#: Largest number of steps of one minimization.
MAX_STEPS = 1000


@dataclass(frozen=True, eq=False)
class PenalisedLoss:
    """``½ ‖x‖² + dist²(q(x) − target, Ω) / (2μ)`` for stacked weights x and their predictions q(x).

    ``model`` is the map q. ``misfit`` is the function from a residual, shape (m,), to its difference from the nearest
    point of Ω, so that ``misfit/μ`` is the derivative in q. None stands for Ω = {0}.
    """

    model: QuadraticMap
    target: Array
    penalty: float
    misfit: Callable[[Array], Array] | None = None

    def multiplier(self, value: Array) -> Array:
        """Return ``−misfit/μ``, minus the derivative in q; at a minimum it is a dual vector that proves flatness."""
        residual = value - self.target
        return (residual if self.misfit is None else self.misfit(residual)) / -self.penalty

    def gradient(self, x: Array, value: Array) -> Array:
        """Return the gradient at x, where ``value = q(x)``."""
        return x - self.model.apply(self.model.dual_matrix(self.multiplier(value)), x)

    def preconditioner(self, x: Array) -> Callable[[Array], Array]:
        """Return the function that multiplies the gradient in each factor by ``(I + FᵀF/μ)⁻¹``, F the other factor."""
        halves = self.model.opposite(x)
        inverses = [np.linalg.inv(np.eye(F.shape[1]) + F.T @ F / self.penalty) for F in halves]
        cut = [len(x) - len(halves[0])] if len(halves) > 1 else []
        return lambda g: np.concatenate([part @ P for part, P in zip(np.split(g, cut), inverses, strict=True)])

    def slope(self, x: Array, value: Array, step: Array, linear: Array, quadratic: Array) -> Callable[[float], float]:
        """Return the derivative along ``x + t step``, where the predictions are ``value + t linear + t² quadratic``."""
        inner, square = float(np.vdot(x, step)), float(np.vdot(step, step))
        if self.misfit is not None:

            def general(t: float) -> float:
                predicted, direction = value + t * (linear + t * quadratic), linear + 2 * t * quadratic
                return inner + t * square - float(self.multiplier(predicted) @ direction)

            return general
        parts = np.stack([value - self.target, linear, quadratic])
        (_, rl, rq), (_, ll, lq), (*_, qq) = (parts @ parts.T / self.penalty).tolist()
        return lambda t: inner + rl + t * (square + ll + 2 * rq + t * (3 * lq + t * 2 * qq))


def minimise(objective: PenalisedLoss, x: Array, tol: float, clock: Clock) -> tuple[Array, Array]:
    """Minimize from x until the gradient is at most ``tol ‖x‖``; return x and q(x).

    Directions are the conjugate gradients of Polak and Ribière, restarted if their coefficient is negative. A line
    search is exact: q is quadratic, so that two forward maps give it along the whole direction.
    """
    model = objective.model
    value, step = model.value(x), np.zeros_like(x)
    before, steep_before = x, x
    for number in range(MAX_STEPS):
        if clock.exhausted:
            break
        gradient = objective.gradient(x, value)
        clock.iterations += 1
        if np.linalg.norm(gradient) <= tol * np.linalg.norm(x):
            break
        if number % PRECONDITIONER_STEPS == 0:
            precondition = objective.preconditioner(x)
        steep = precondition(gradient)
        if number:
            share = float(np.vdot(gradient - before, steep)) / float(np.vdot(before, steep_before))
            step *= max(0.0, share)
        step -= steep
        start = float(np.vdot(step, gradient))
        if start >= 0:
            step, start = -steep, -float(np.vdot(steep, gradient))
        linear, quadratic = model.bilinear(x, step), model.value(step)
        length = _length(objective.slope(x, value, step, linear, quadratic), start)
        x, value = x + length * step, value + length * (linear + length * quadratic)
        before, steep_before = gradient, steep
    return x, model.value(x)


def _length(slope: Callable[[float], float], start: float) -> float:
    """Return a t > 0 at which the slope is nearly zero; ``start < 0`` is the slope at t = 0.

    The interval is doubled until the slope at its end is positive, and then shrunk by the Illinois method.
    """
    low, at_low, t = 0.0, start, 1.0
    at_t = slope(t)
    while at_t < 0 and t < 1e9:
        low, at_low, t = t, at_t, 2 * t
        at_t = slope(t)
    high, at_high, side = t, at_t, 0
    for _ in range(40):
        if abs(at_t) <= SLOPE_SHARE * abs(start):
            break
        t = (low * at_high - high * at_low) / (at_high - at_low)
        at_t = slope(t)
        if at_t < 0:
            low, at_low, at_high, side = t, at_t, at_high / (2 if side < 0 else 1), -1
        else:
            high, at_high, at_low, side = t, at_t, at_low / (2 if side > 0 else 1), 1
    return t
