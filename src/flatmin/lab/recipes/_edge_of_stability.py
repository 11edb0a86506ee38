"""The central flow of gradient descent on bilinear least squares, and gradient descent itself.

Gradient descent with the step size η is stable where the largest eigenvalue of the Hessian H is below 2/η. At that edge
it oscillates along the eigenvectors that reach it. Averaged over the oscillation, whose covariance is Σ, a step is

    w ← w − η (∇f + ½ ∇⟨Σ, H⟩),    H ⪯ 2/η,    Σ ⪰ 0,    Σ (2/η − H) = 0

(Cohen, Damian, Talwalkar, Kolter, Lee 2024, arXiv 2410.24206). The last three conditions determine Σ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.problem import Problem

__all__ = ["BilinearLoss", "FlowState", "central_flow", "gradient_descent"]

#: Eigenvalues above this share of 2/η may reach the edge within a step; their eigenvectors carry the oscillation.
NEAR_THE_EDGE = 0.95
#: Largest number of iterations for Σ, and the relative change of Σ at which they stop.
ITERATIONS, SETTLED = 200, 1e-6


@dataclass(frozen=True, eq=False)
class BilinearLoss:
    """The loss ``f(u, v) = (1/m) Σ_i (uᵀ B_i v − b_i)²`` of weights ``w = (u, v)``.

    The arrays ``forms`` and ``data`` are the B_i, shape (m, p, q), and the b_i, shape (m,).
    """

    forms: Array
    data: Array

    @classmethod
    def from_problem(cls, problem: Problem, width: int) -> Self:
        """Return the loss of a problem with a product of two matrices of ``width`` columns, or of two vectors."""
        matrices = problem.measurement.matrices()
        if isinstance(problem.parametrization, Hadamard):
            return cls(np.stack([np.diag(A[:, 0]) for A in matrices]), problem.data)
        return cls(np.stack([np.kron(A, np.eye(width)) for A in matrices]), problem.data)

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers p and q of entries of u and v."""
        return self.forms.shape[1], self.forms.shape[2]

    def _parts(self, w: Array) -> tuple[Array, Array, Array]:
        """Return the ``B_i v``, the ``B_iᵀ u`` and the residual."""
        u, v = np.split(w, self.sizes[:1])
        right = self.forms @ v
        return right, u @ self.forms, right @ u - self.data

    def value(self, w: Array) -> float:
        """Return the loss."""
        return float(np.mean(self._parts(w)[2] ** 2))

    def gradient(self, w: Array) -> Array:
        """Return the gradient, shape (p + q,)."""
        right, left, residual = self._parts(w)
        return 2 / len(self.data) * np.concatenate([residual @ right, residual @ left])

    def hessian(self, w: Array) -> Array:
        """Return the Hessian, shape (p + q, p + q)."""
        right, left, residual = self._parts(w)
        J, p = np.hstack([right, left]), self.sizes[0]
        H = J.T @ J
        mixed = np.tensordot(residual, self.forms, 1)
        H[:p, p:] += mixed
        H[p:, :p] += mixed.T
        return np.asarray(2 / len(self.data) * H)

    def third(self, w: Array, x: Array, y: Array) -> Array:
        """Return the third derivative in the directions x and y, as a vector; the quotient is exact at degree four."""
        g = self.gradient
        return (g(w + x + y) - g(w + x - y) - g(w - x + y) + g(w - x - y)) / 4


@dataclass(frozen=True, eq=False)
class FlowState:
    """A point of a flow: the weights, the covariance Σ of the oscillation, and the largest eigenvalue of H."""

    weights: Array
    covariance: Array
    sharpness: float


def gradient_descent(
    loss: BilinearLoss, w: Array, step_size: Callable[[int], float], steps: int, *, noise: float, seed: int
) -> Iterator[Array]:
    """Yield the weights after each step, until they are infinite.

    The entries of each gradient have Gaussian noise with the standard deviation ``noise``. Oscillations grow
    out of it; without noise they would grow out of rounding errors, which differ by machine.
    """
    rng = np.random.default_rng(seed)
    for t in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):
            w = w - step_size(t) * (loss.gradient(w) + noise * rng.standard_normal(w.shape))
        if not np.isfinite(w).all():
            return
        yield w


def central_flow(
    loss: BilinearLoss, w: Array, step_size: Callable[[int], float], steps: int, *, stable: bool = False
) -> Iterator[FlowState]:
    """Yield the states after each step of the central flow or, if ``stable``, of the gradient flow, whose Σ is zero.

    A step integrates ``dw/dt = −H w + …`` exactly for a constant Hessian, so that the sharpest directions are stable.
    """
    covariance = np.zeros((len(w), len(w)))
    for t in range(steps):
        eigenvalues, V = np.linalg.eigh(loss.hessian(w))
        exponents = step_size(t) * eigenvalues
        small = np.abs(exponents) < 1e-8
        rates = step_size(t) * np.where(small, 1.0, -np.expm1(-exponents) / np.where(small, 1.0, exponents))
        P = (V * rates) @ V.T
        moved = w - P @ loss.gradient(w)
        limit = 2 / step_size(t + 1)
        near = np.zeros_like(eigenvalues, bool) if stable else eigenvalues > NEAR_THE_EDGE * limit
        w, covariance = _held(loss, w, moved, P, (eigenvalues[near], V[:, near]), limit, covariance)
        yield FlowState(w, covariance, float(eigenvalues[-1]))


def _held(
    loss: BilinearLoss, w: Array, moved: Array, P: Array, near: tuple[Array, Array], limit: float, before: Array
) -> tuple[Array, Array]:
    """Return the weights and Σ that keep the eigenvalues near the edge at most at ``limit``.

    In coordinates x of Σ the excess of these eigenvalues over the limit is ``h − G x`` to first order. So x minimises
    ``½ xᵀ G x − hᵀ x`` over semidefinite Σ, which are its complementarity conditions.
    """
    eigenvalues, U = near
    none = np.zeros_like(before)
    if not len(eigenvalues):
        return moved, none
    rows, columns = np.triu_indices(len(eigenvalues))
    scale = np.where(rows == columns, 1.0, np.sqrt(2.0))
    T = np.stack([c * loss.third(w, U[:, i], U[:, j]) for i, j, c in zip(rows, columns, scale, strict=True)], axis=1)
    excess = np.diag(eigenvalues - limit)[rows, columns] + T.T @ (moved - w)
    G = 0.5 * T.T @ P @ T

    def matrix(x: Array) -> Array:
        M = np.zeros((len(eigenvalues),) * 2)
        M[rows, columns] = M[columns, rows] = x / scale
        return M

    def projected(x: Array) -> Array:
        values, Q = np.linalg.eigh(matrix(x))
        return np.asarray(((Q * np.maximum(values, 0)) @ Q.T)[rows, columns] * scale)

    if np.linalg.eigvalsh(matrix(excess))[-1] <= 0:
        return moved, none
    x = projected((U.T @ before @ U)[rows, columns] * scale)
    x = np.maximum(excess / G[0], 0) if len(x) == 1 else _semidefinite_least(G, excess, x, projected)
    return moved - 0.5 * P @ (T @ x), U @ matrix(x) @ U.T


def _semidefinite_least(G: Array, h: Array, x: Array, projected: Callable[[Array], Array]) -> Array:
    """Return the minimiser of ``½ xᵀ G x − hᵀ x`` in a cone, by accelerated projected gradients with restarts."""
    length, y, t = 1 / max(np.linalg.eigvalsh(G)[-1], np.finfo(float).tiny), x, 1.0
    for _ in range(ITERATIONS):
        new = projected(y - length * (G @ y - h))
        if np.linalg.norm(new - x) <= SETTLED * np.linalg.norm(new):
            return new
        if (y - new) @ (new - x) > 0:
            t = 1.0
        following = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y, x, t = new + (t - 1) / following * (new - x), new, following
    return x
