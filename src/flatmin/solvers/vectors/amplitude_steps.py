"""Levenberg–Marquardt steps for the least squares of ``|U* x_i|² − b_i``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.metric import Metric
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import CodedDiffraction, Measurement
from flatmin.solvers.factored.newton import polynomial_minimiser
from flatmin.solvers.vectors.amplitudes import row_inner

__all__ = ["SLOW_DESCENT", "SLOW_STEP", "Point", "Search", "descend"]

#: Relative misfit up to which no step is taken, because the misfit is only rounding errors.
ROUNDING_MISFIT = 1e-15
#: Relative size up to which the amplitudes of a factor are only rounding errors, so that no multiple of it fits data.
ROUNDING_AMPLITUDES = 1e-14
#: A descent (a series of steps) is slow if it leaves more than this share of the misfit. Then more columns are needed.
SLOW_DESCENT = 0.3
#: A step is slow if it leaves more than this share of the misfit. Three slow steps in a row end a descent.
SLOW_STEP = 0.9
#: A Newton step is slow if it reduces the misfit by less than this share. Newton steps are for data that no matrix
#: fits.
MIN_NEWTON_DECREASE = 1e-12
#: A step that leaves more than this share of the misfit is followed by a Newton step, which has the exact Hessian.
NEWTON_ABOVE = 0.5
#: Share to which conjugate gradients in single precision reduce the residual of a step, at the least.
SINGLE_SHARE = 1e-3
#: Largest number of conjugate gradient steps in a Levenberg–Marquardt step.
MAX_PRODUCTS = 150


@dataclass(frozen=True, eq=False)
class Point:
    """A factor U, its amplitudes ``x_i* U`` and weighted residuals ``w_i (|x_i* U|² − b_i)``."""

    U: Array
    V: Array
    r: Array

    @property
    def misfit(self) -> float:
        """The norm of the weighted residuals."""
        return float(np.linalg.norm(self.r))


@dataclass(frozen=True, eq=False)
class Search:
    """The weighted measurements and data, with the clock and the history of all steps."""

    measurement: Measurement
    b: Array
    weights: Array
    clock: Clock
    max_rank: int
    callback: Callable[[dict[str, float]], Any] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)

    @cached_property
    def norm(self) -> float:
        """The norm of the weighted data."""
        return float(np.linalg.norm(self.weights * self.b))

    def residual(self, point: Point) -> float:
        """Return ``‖A(UU*) − b‖ / ‖b‖``, without weights."""
        return float(np.linalg.norm(point.r / self.weights) / np.linalg.norm(self.b))

    def at(self, U: Array, V: Array | None = None) -> Point:
        """Return the `Point` with factor U. Its amplitudes are computed unless they are given as V."""
        V = self.measurement.amplitudes(U) if V is None else V
        return Point(U, V, self.weights * (row_inner(V, V) - self.b))

    def record(self, point: Point) -> None:
        """Append a step to the history."""
        self.clock.record(self.history, self.callback, residual=self.residual(point), rank=point.U.shape[1])

    @cached_property
    def whitening(self) -> Metric:
        """The root ``D^-½`` of the metric ``D = Σ A_i² / m``."""
        return Metric.root(self.measurement.gram_diagonals()[0] / self.measurement.size).power(-1)

    @cached_property
    def rough(self) -> Measurement:
        """The measurement for conjugate gradients: coded diffraction in single precision, else the measurement."""
        return self.measurement.single() if isinstance(self.measurement, CodedDiffraction) else self.measurement

    @cached_property
    def pixels(self) -> Array:
        """The inverse of coded diffraction's diagonal metric, (d, 1), scaled to largest entry 1; else a single 1."""
        if not isinstance(self.measurement, CodedDiffraction):
            return np.ones((1, 1))
        square = self.whitening.values[:, None] ** 2
        return np.asarray(square / square.max())

    def freedom(self, rank: int) -> int:
        """Return the number of degrees of freedom of positive semidefinite matrices of the given rank."""
        d = self.measurement.shape[0]
        if np.issubdtype(self.measurement.dtype, np.complexfloating):
            return 2 * d * rank - rank**2
        return d * rank - rank * (rank - 1) // 2

    def measures(self, U: Array, V: Array) -> bool:
        """Return whether the amplitudes V of a factor U are larger than their rounding errors."""
        largest = float(np.sqrt(self.measurement.traces().sum())) * float(np.linalg.norm(U))
        return float(np.linalg.norm(V)) > ROUNDING_AMPLITUDES * largest

    def scaled(self, U: Array) -> Array:
        """Return the multiple of U that fits the data best.

        The result has no columns if this multiple is zero or if the amplitudes of U are only rounding errors.
        """
        V = self.measurement.amplitudes(U)
        q = self.weights * row_inner(V, V)
        square = float(q @ (self.weights * self.b)) / max(float(q @ q), 1e-300)
        return np.asarray(np.sqrt(square) * U if square > 0 and self.measures(U, V) else U[:, :0])


def descend(search: Search, point: Point, steps: int, curved: bool = False) -> Point:
    """Take Levenberg–Marquardt steps, at most ``steps``, and return a point whose misfit is no larger.

    Each step goes to the minimiser of the misfit along its direction. The steps end when they become slow. With
    ``curved`` all steps are Newton steps, for data that no matrix fits, and they end when the misfit no longer changes.
    The residuals of the result are computed from its factor, without the rounding of the steps.
    """
    shares: list[float] = []
    slow = 1 - MIN_NEWTON_DECREASE if curved else SLOW_STEP
    for _ in range(steps):
        if search.clock.exhausted or point.misfit <= ROUNDING_MISFIT * search.norm or not point.U.shape[1]:
            break
        direction = _step(search, point, curved or (len(shares) > 0 and shares[-1] > NEWTON_ABOVE))
        moved = _line_search(search, point, direction)
        search.clock.iterations += 1
        shares.append(moved.misfit / point.misfit)
        if not shares[-1] < 1:
            break
        point = moved
        search.record(point)
        rounded = point.misfit <= 1e-13 * search.norm and shares[-1] > SLOW_DESCENT
        if rounded or (min(shares[-3:]) > slow and len(shares) >= 3):
            break
    return search.at(point.U)


def _step(search: Search, point: Point, curved: bool) -> Array:
    """Return the Levenberg–Marquardt step, by conjugate gradients preconditioned with ``(U*U)⁻¹``.

    Half the gradient of ``½|w(A(UU*) − b)|²`` is ``A*(wr)U``; half the Gauss–Newton matrix maps P to
    ``2 Σ w_i² x_i Re⟨x_i*U, x_i*P⟩ (x_i*U)``, and the exact Hessian adds ``A*(wr)P``, if ``curved``. The damping is
    proportional to the residual. With the exact Hessian it is reduced further where the gradient is small.
    """
    A, U, V, r, w = search.measurement, point.U, point.V, point.r, search.weights
    relative = min(1.0, point.misfit / search.norm)
    gram = U.conj().T @ U
    size = np.trace(gram).real
    scale = 2 * float((w**2 * A.traces()) @ row_inner(V, V)) / (len(U) * size)
    if scale == 0:  # no vector measures the factor, so its gradient is zero
        return np.zeros_like(U)
    residual = -A.superposition((w * r)[:, None] * V)
    damping = scale * relative * size / (2 * len(gram)) * np.eye(len(gram))
    if curved:  # in the limit the residual stays but the gradient vanishes; small columns need little damping
        relative = min(relative, float(np.linalg.norm(residual)) / (scale * size**1.5))
        damping = scale * relative * gram.T
    if relative == 0:  # the point is stationary to the last digit
        return np.zeros_like(U)
    inverse = np.linalg.inv(scale * gram.T + damping + EPS * scale * size * np.eye(len(gram)))
    goal = max(min(0.1, relative**0.5), EPS / relative) * float(np.linalg.norm(residual))
    weights, spread, length = 2 * w**2, search.pixels, 1.0
    if not curved and search.rough is not A and goal > 0:
        A, length = search.rough, float(np.linalg.norm(residual))
        goal = max(goal / length, SINGLE_SHARE)
        V, residual, inverse, damping = (X.astype(A.dtype) for X in (V, residual / length, inverse, damping))
        weights, spread = weights.astype(np.float32), spread.astype(np.float32)
    step, z = np.zeros_like(residual), spread * (residual @ inverse)
    p, rz = z, np.vdot(residual, z).real
    for i in range(MAX_PRODUCTS):
        W = A.amplitudes(p)
        waves = (weights * row_inner(V, W))[:, None] * V
        if curved:
            waves += (w * r)[:, None] * W
        Hp = A.superposition(waves) + p @ damping
        search.clock.products += 1
        curvature = np.vdot(p, Hp).real
        if curvature <= 1e-14 * scale * size * np.vdot(p, p).real:
            return np.asarray(length * (p if i == 0 else step), U.dtype)
        step, residual = step + rz / curvature * p, residual - rz / curvature * Hp
        if np.linalg.norm(residual) <= goal or search.clock.out_of_time:
            break
        z = spread * (residual @ inverse)
        rz, before = np.vdot(residual, z).real, rz
        p = z + rz / before * p
    return np.asarray(length * step, U.dtype)


def _line_search(search: Search, point: Point, direction: Array) -> Point:
    """Return the point of least misfit along a direction. The residual is a quadratic function of the step length."""
    W = search.measurement.amplitudes(direction)
    r, linear, quadratic = point.r, 2 * search.weights * row_inner(point.V, W), search.weights * row_inner(W, W)
    second = linear @ linear + 2 * (r @ quadratic)
    t = polynomial_minimiser(quadratic @ quadratic, 2 * (linear @ quadratic), second, 2 * (r @ linear), 0.0)
    return search.at(point.U + t * direction, point.V + t * W)
