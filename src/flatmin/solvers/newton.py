"""Newton's method for the penalised factored problem of one round."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from flatmin.metric import Array
from flatmin.solvers.factored import Linearization, StackedProduct

__all__ = ["Budget", "Round", "minimise"]


@dataclass
class Budget:
    """The limits of a solve, shared by all its rounds."""

    max_iter: int | None = None
    time_limit: float | None = None
    iterations: int = 0
    products: int = 0
    start: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the solve began."""
        return time.perf_counter() - self.start

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit is reached."""
        return self.time_limit is not None and self.seconds >= self.time_limit

    @property
    def exhausted(self) -> bool:
        """Whether any limit is reached."""
        return self.out_of_time or (self.max_iter is not None and self.iterations >= self.max_iter)


@dataclass(frozen=True, eq=False)
class Round:
    """The end of an inner minimisation."""

    x: Array
    residual: Array
    S: Any
    gradient: float


def minimise(
    model: StackedProduct, x: Array, target: Array, sigma: float, tol: float, budget: Budget, max_steps: int = 40
) -> Round:
    """Minimise ``½‖x‖² + (sigma/2) ‖q(x) − target‖²`` until the gradient is below ``tol ‖x‖``.

    The Hessian is ``I − K(y) + sigma JᵀJ`` with ``y = sigma (target − q(x))``. The Newton system is solved by
    preconditioned conjugate gradients that follow negative curvature where they meet it, or directly once the
    Hessian is nearly positive definite and the derivative J is explicit. The step length is the exact minimiser of the
    quartic along the direction.
    """
    residual = target - model.value(x)
    for step in range(max_steps + 1):
        S = model.dual_matrix(sigma * residual)
        gradient = x - model.apply(S, x)
        size, norm = float(np.linalg.norm(x)), float(np.linalg.norm(gradient))
        relative = norm / max(size, 1e-300)
        if relative <= tol or step == max_steps or budget.exhausted:
            break
        budget.iterations += 1
        derivative = model.linearize(x)
        direction = None
        if derivative.J is not None and relative < 0.1:
            direction = _direct(model, derivative, S, gradient, sigma, shift=1e-3 * min(1.0, relative))
        if direction is None:
            goal = max(min(0.1, relative**0.5) * norm, 0.3 * tol * size)
            direction = _conjugate_gradients(model, derivative, S, gradient, sigma, goal, budget)
        linear, quadratic = derivative.forward(direction), model.value(direction)
        t = _quartic_minimiser(x, direction, residual, linear, quadratic, sigma)
        if t == 0:
            break
        x = x + t * direction
        residual = residual - t * linear - t**2 * quadratic
    return Round(x, target - model.value(x), S, relative)


def _quartic_minimiser(x: Array, d: Array, residual: Array, linear: Array, quadratic: Array, sigma: float) -> float:
    """Return the t that minimises the objective along ``x + t d``."""
    coefficients = np.array(
        [
            sigma / 2 * (quadratic @ quadratic),
            sigma * (linear @ quadratic),
            np.vdot(d, d) / 2 + sigma / 2 * (linear @ linear) - sigma * (residual @ quadratic),
            np.vdot(x, d) - sigma * (residual @ linear),
            0.0,
        ]
    )
    roots = np.roots(np.polyder(coefficients))
    roots = roots[np.abs(roots.imag) <= 1e-8 * np.abs(roots)].real
    return float(min(roots, key=lambda t: np.polyval(coefficients, t), default=0.0))


def _conjugate_gradients(
    model: StackedProduct,
    derivative: Linearization,
    S: Any,
    gradient: Array,
    sigma: float,
    goal: float,
    budget: Budget,
    max_products: int = 100,
) -> Array:
    """Solve the Newton system to residual ``goal``; stop at, and at first follow, negative curvature."""
    blocks = sigma * derivative.blocks()
    blocks[:, np.arange(blocks.shape[1]), np.arange(blocks.shape[1])] += 1
    inverse = np.linalg.inv(blocks)

    def precondition(r: Array) -> Array:
        return np.asarray((inverse @ r[:, :, None])[:, :, 0])

    d, r = np.zeros_like(gradient), -gradient
    z = precondition(r)
    p, rz = z, float(np.vdot(r, z))
    for i in range(max_products):
        Hp = p - model.apply(S, p) + sigma * derivative.adjoint(derivative.forward(p))
        budget.products += 1
        curvature = float(np.vdot(p, Hp))
        if curvature <= 1e-12 * float(np.vdot(p, p)):
            return p if i == 0 else d
        d, r = d + rz / curvature * p, r - rz / curvature * Hp
        if float(np.linalg.norm(r)) <= goal or budget.out_of_time:
            break
        z = precondition(r)
        rz, before = float(np.vdot(r, z)), rz
        p = z + rz / before * p
    return d


def _direct(
    model: StackedProduct, derivative: Linearization, S: Any, gradient: Array, sigma: float, shift: float
) -> Array | None:
    """Solve the Newton system by a Cholesky factorization of the smaller side, or return None.

    ``I − K`` is the same for every column of x, and its inverse is known from the singular values of S. A shift keeps
    it positive definite, so the other side is ``I/sigma + J (I − K)⁻¹ Jᵀ``.
    """
    S = S.toarray() if hasattr(S, "toarray") else S
    U, s, Vt = np.linalg.svd(S, full_matrices=False)
    if s[0] > 1.5:
        return None
    J, (n, k), m = derivative.matrix, gradient.shape, len(derivative.matrix)
    a = max(1.0, float(s[0])) + max(shift, 1e-9)
    d1 = model.d1
    try:
        if n * k <= m:
            H = sigma * (J.T @ J)
            diagonal = H.reshape(k, n, k, n)
            for c in range(k):
                diagonal[c, :d1, c, d1:] -= S
                diagonal[c, d1:, c, :d1] -= S.T
            H[np.diag_indices(n * k)] += a
            solved = cho_solve(cho_factor(H, overwrite_a=True, check_finite=False), gradient.T.ravel())
            return np.asarray(-solved.reshape(k, n).T)
        P = np.eye(n) / a
        P[:d1, :d1] += (U * (a / (a**2 - s**2) - 1 / a)) @ U.T
        P[d1:, d1:] += (Vt.T * (a / (a**2 - s**2) - 1 / a)) @ Vt
        P[:d1, d1:] = (U * (s / (a**2 - s**2))) @ Vt
        P[d1:, :d1] = P[:d1, d1:].T
        JP = (J.reshape(-1, n) @ P).reshape(m, -1)
        M = JP @ J.T
        M[np.diag_indices(m)] += 1 / sigma
        factor = cho_factor(M, overwrite_a=True, check_finite=False)
        Pg = P @ gradient
        w = cho_solve(factor, J @ Pg.T.ravel())
        return np.asarray(P @ derivative.adjoint(w) - Pg)
    except LinAlgError:
        return None
