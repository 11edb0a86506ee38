"""Lower bounds on ``Σ |z_j|^p`` under linear equations, and the weighted normal equations behind exact fits."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import power

__all__ = ["dual_power_norm", "gain_and_loss", "least_change", "normal_equations", "penalised_bound", "scaled_bound"]


def dual_power_norm(s: Array, p: float) -> float:
    """Return ``‖s‖_q`` with ``1/p + 1/q = 1``: the largest absolute entry for p = 1."""
    top = float(np.max(np.abs(s), initial=0.0))
    if p == 1 or top == 0:
        return top
    q = p / (p - 1)
    return float(top * power(np.sum(power(np.abs(s / top), q)), 1 / q))


def scaled_bound(B: Array, b: Array, y: Array, p: float) -> float:
    """Return ``(⟨b, y⟩ / ‖Bᵀy‖_q)^p``, by Hölder's inequality a lower bound on ``Σ |z_j|^p`` over ``B z = b``."""
    norm = dual_power_norm(B.T @ y, p)
    return float(max(float(b @ y) / norm, 0.0) ** p) if norm > 0 else 0.0


def penalised_bound(B: Array, b: Array, y: Array, p: float, penalty: float) -> float:
    """Return the lower bound on ``Σ |z_j|^p + ‖B z − b‖² / 2μ`` that a multiplier y proves (docs/theory/depth.md)."""
    gained, lost = gain_and_loss(np.abs(B.T @ y), b, y, p, penalty)
    return gained - lost


def gain_and_loss(sizes: Array, b: Array, y: Array, p: float, penalty: float) -> tuple[float, float]:
    """Return gain and loss, whose difference is `penalised_bound`, from ``sizes = |Bᵀy|`` or upper bounds on them."""
    if p == 1:
        y, conjugate = y / max(1.0, dual_power_norm(sizes, 1.0)), 0.0
    else:
        with np.errstate(over="ignore"):  # a multiplier that is too long proves nothing
            conjugate = (p - 1) * float(np.sum(power(sizes / p, p / (p - 1))))
    return float(b @ y), penalty / 2 * float(y @ y) + conjugate


def least_change(B: Array, residual: Array, weights: Array) -> Array:
    """Return the δ with ``B δ = residual`` and the smallest ``Σ δ_j² / weights_j``, up to rounding."""
    weights = weights + 1e-12 * np.max(weights)  # keeps the equations solvable where most weights vanish
    solve = normal_equations(B, weights)
    change = np.zeros(B.shape[1])
    for _ in range(3):
        change += weights * (B.T @ solve(residual - B @ change))
    return change


def normal_equations(B: Array, weights: Array, ridge: float = 0.0) -> Callable[[Array], Array]:
    """Return a solver of ``(B diag(weights) Bᵀ + ridge) y = r``, with the least shift that the factorization needs."""
    wide = B * np.sqrt(weights)
    upper = blas.dsyrk(1.0, wide.T, trans=1)
    diagonal = np.diagonal(upper) + ridge
    for shift in (0.0, 1e-15, 1e-13, 1e-11, 1e-9, 1e-7, 1e-5):
        np.fill_diagonal(upper, diagonal + shift * (diagonal + np.mean(diagonal)))
        try:
            factor = cho_factor(upper)
        except LinAlgError:
            continue

        def solve(r: Array, factor: Any = factor) -> Array:
            y = cho_solve(factor, r)
            for _ in range(2):
                y += cho_solve(factor, r - B @ (weights * (B.T @ y)) - ridge * y)
            return np.asarray(y)

        return solve
    raise ArithmeticError("the normal equations could not be factorized")
