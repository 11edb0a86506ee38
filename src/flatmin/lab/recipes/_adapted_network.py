"""Quadratic networks with a low-rank adapter: the traces of the Hessian in the adapter and in the merged weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares, minimize

from flatmin._core.arrays import Array

__all__ = ["AdaptedNetwork", "Trace"]

#: A function of the adapter with its gradient.
Trace = Callable[[Array], tuple[float, Array]]
#: An adapter fits if its relative misfit is at most this.
FITS = 1e-7
#: Largest number of steps of the constrained minimisation, and its tolerance.
STEPS, TOLERANCE = 500, 1e-10
#: Relative excess over a largest value that is allowed, because the minimum is moved to an exact fit afterwards.
CAP_ROUNDING = 1e-4


@dataclass(frozen=True)
class AdaptedNetwork:
    """``y = Σ_j v_j (u_jᵀ x)²`` with hidden weights ``U = U0 + B Aᵀ``; U0 and the output weights v are frozen.

    An adapter is one vector: the entries of B, shape (d, k), and then those of A, shape (h, k). The loss is
    ``(1/m) Σ (y_i − b_i)²``, and traces are those of its Gauss-Newton matrix, the Hessian where the loss is zero.
    """

    inputs: Array
    frozen: Array
    outputs: Array
    targets: Array
    rank: int

    def split(self, adapter: Array) -> tuple[Array, Array]:
        """Return B and A."""
        place = self.inputs.shape[1] * self.rank
        return adapter[:place].reshape(-1, self.rank), adapter[place:].reshape(-1, self.rank)

    def merged(self, adapter: Array) -> Array:
        """Return the hidden weights U, shape (d, h)."""
        B, A = self.split(adapter)
        return np.asarray(self.frozen + B @ A.T)

    def misfit(self, adapter: Array) -> Array:
        """Return ``y − b``."""
        return (self.inputs @ self.merged(adapter)) ** 2 @ self.outputs - self.targets

    def slopes(self, adapter: Array) -> Array:
        """Return the derivative of `misfit`, shape (m, number of weights of the adapter)."""
        B, A = self.split(adapter)
        signed = 2 * self.inputs @ self.merged(adapter) * self.outputs
        by_b, by_a = self.inputs[:, :, None] * (signed @ A)[:, None], signed[:, :, None] * (self.inputs @ B)[:, None]
        return np.concatenate([part.reshape(len(self.inputs), -1) for part in (by_b, by_a)], axis=1)

    def value(self, adapter: Array) -> float:
        """Return the loss."""
        return float(np.mean(self.misfit(adapter) ** 2))

    def gradient(self, adapter: Array) -> Array:
        """Return the gradient of the loss."""
        return np.asarray(2 / len(self.targets) * self.misfit(adapter) @ self.slopes(adapter))

    def adapter_trace(self, adapter: Array) -> tuple[float, Array]:
        """Return the trace in (B, A), ``(2/m) Σ ‖∂y_i/∂(B, A)‖²``, and its gradient."""
        x, m = self.inputs, len(self.inputs)
        B, A = self.split(adapter)
        size, small, hidden = np.sum(x**2, axis=1), x @ B, x @ self.merged(adapter)
        signed = hidden * self.outputs
        back = signed @ A
        squares, narrow = np.sum(hidden**2, axis=1), np.sum(small**2, axis=1)
        value = 8 / m * float(size @ np.sum(back**2, axis=1) + squares @ narrow)
        by_hidden = size[:, None] * (back @ A.T) * self.outputs + narrow[:, None] * hidden
        by_a = (size[:, None] * signed).T @ back + by_hidden.T @ small
        by_b = x.T @ (by_hidden @ A + squares[:, None] * small)
        return value, 16 / m * np.concatenate([by_b.ravel(), by_a.ravel()])

    def weight_trace(self, adapter: Array) -> tuple[float, Array]:
        """Return the trace in U, ``(8/m) Σ ‖x_i‖² ‖Uᵀ x_i‖²``, and its gradient by the adapter."""
        B, A = self.split(adapter)
        D = (self.inputs.T * np.sum(self.inputs**2, axis=1)) @ self.inputs / len(self.inputs)
        U = self.merged(adapter)
        by_weights = 16 * D @ U
        gradient = np.concatenate([(by_weights @ A).ravel(), (by_weights.T @ B).ravel()])
        return float(np.sum(by_weights * U)) / 2, gradient

    def fit(self, start: Array) -> Array | None:
        """Return an adapter near a start that fits, None if there is none: training without regard to flatness."""
        found = least_squares(self.misfit, start, self.slopes, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=500).x
        return found if self._fits(found) else None

    def flattened(self, start: Array, trace: Trace, *, below: tuple[Trace, float] | None = None) -> Array | None:
        """Return a local minimum of a trace among adapters that fit, None if the search fails.

        ``below`` is another trace with the largest value allowed.
        """
        constraints: list[dict[str, Any]] = [{"type": "eq", "fun": self.misfit, "jac": self.slopes}]
        if below is not None:
            other, most = below
            distance = {"fun": lambda z: 1 - other(z)[0] / most, "jac": lambda z: -other(z)[1] / most}
            constraints.append({"type": "ineq", **distance})
        options = {"maxiter": STEPS, "ftol": TOLERANCE}
        found = minimize(trace, start, jac=True, constraints=constraints, method="SLSQP", options=options).x
        exact = self.fit(found) if np.isfinite(found).all() else None
        allowed = exact is not None and (below is None or below[0](exact)[0] <= below[1] * (1 + CAP_ROUNDING))
        return exact if allowed else None

    def descent(self, start: Array, trace: Trace, steps: int) -> Iterator[Array]:
        """Yield the adapters along gradient descent of a trace among adapters that fit.

        A step follows the gradient along all fits and is then corrected, so that it fits. It is repeated with half the
        length if the trace does not fall.
        """
        adapter, length = start, 1e-5
        for _ in range(steps):
            yield adapter
            value, gradient = trace(adapter)
            slopes = self.slopes(adapter)
            moved = adapter - length * (gradient - np.linalg.lstsq(slopes, slopes @ gradient, rcond=None)[0])
            for _ in range(3):
                moved = moved - np.linalg.lstsq(self.slopes(moved), self.misfit(moved), rcond=None)[0]
            falls = self._fits(moved) and trace(moved)[0] < value
            adapter, length = (moved, 1.2 * length) if falls else (adapter, length / 2)

    def _fits(self, adapter: Array) -> bool:
        misfit = float(np.linalg.norm(self.misfit(adapter)))
        return bool(np.isfinite(misfit) and misfit <= FITS * np.linalg.norm(self.targets))
