"""Least squares in the tangent space of a sampled product, with one of the two factors eliminated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin.measurements import Entries
from flatmin.metric import Array
from flatmin.operator_norm import EPS
from flatmin.solvers.factored import Linearization, StackedProduct

__all__ = ["CellEquations", "inverse_blocks"]

#: Conjugate gradient steps that one solve may take.
MOST_STEPS = 100
#: It ends after so many steps that did not halve the square of what is missing: rounding sets the limit.
PATIENCE = 12
#: … or that left so many times the least of it: rounding in the null space then grows.
GROWN = 1e3
#: A block whose inverse, after its columns are scaled to unit size, is larger than this has a null space.
SINGULAR = 1e10


@dataclass(frozen=True, eq=False)
class CellEquations:
    """The derivative ``J (P, Q) = scale · B(P Rᵀ + L Qᵀ)`` of a sampled product, and solves with it.

    Every cell meets one row of P and one of Q. So each half of ``JᵀJ`` is a block for every row, P is eliminated
    exactly, and what is left is ``(I − Π) J_Q`` with the projector Π on the range of ``J_P``. Conjugate gradients on
    its normal equations, preconditioned by the blocks of ``J_QᵀJ_Q``, take half the steps that they would take on
    both factors, at the same cost a step. The factors of one matrix form a null space, which they never enter.

    Parameters
    ----------
    model : StackedProduct
        A product measured by `Entries`.
    x : ndarray, shape (d1 + d2, k)
        Stacked factors.
    inverse : ndarray, shape (d1 + d2, k, k)
        Generalised inverses of the blocks of ``JᵀJ``.
    """

    model: StackedProduct
    x: Array
    inverse: Array

    @classmethod
    def of(cls, derivative: Linearization) -> CellEquations | None:
        """Return the equations of a derivative, None unless it is that of a sampled product."""
        model = derivative.model
        if not isinstance(model, StackedProduct) or not isinstance(model.whitened, Entries):
            return None
        return cls(model, derivative.x, inverse_blocks(model.blocks(derivative.x)))

    def least_squares(self, target: Array, tol: float) -> Array:
        """Return stacked ``d = J⁺ target`` for a target (m,), up to changes that leave ``J d`` alone.

        The gradient ``Jᵀ (target − J d)`` shrinks by the factor tol, in the norm of the preconditioner.
        """
        start = self._beside(target)
        Q, _ = self._iterate(self._onto_second(start), tol)
        P = self._divide_first(self._onto_first(target - self._from_second(Q)))
        return np.concatenate([P, Q])

    def least_norm(self, target: Array, tol: float) -> Array:
        """Return the shortest y (m,) with ``Jᵀ y = target`` for a stacked target in the range of ``Jᵀ``.

        What is missing shrinks by the factor tol, in the norm of the preconditioner.
        """
        first, second = self.model.split(target)
        start = self._from_first(self._divide_first(first))
        _, moved = self._iterate(second - self._onto_second(start), tol)
        return start + moved

    def _iterate(self, slope: Array, tol: float) -> tuple[Array, Array]:
        """Solve ``J_Qᵀ (I − Π) J_Q Q = slope``; return Q and ``(I − Π) J_Q Q``."""
        Q, image = np.zeros_like(slope), np.zeros(self.model.whitened.size)
        z = self._divide_second(slope)
        p, sz = z, float(np.vdot(slope, z))
        goal, lowest, waited = min(max(tol, 8 * EPS), 1.0) ** 2 * sz, sz, 0
        for _ in range(MOST_STEPS):
            if not goal < sz <= GROWN * lowest or waited > PATIENCE:
                break
            beside = self._beside(self._from_second(p))
            curvature = float(beside @ beside)
            if curvature <= 0:
                break
            Q = Q + sz / curvature * p
            image += sz / curvature * beside
            s = slope - self._onto_second(image)  # afresh, lest rounding grow
            z = self._divide_second(s)
            sz, before = float(np.vdot(s, z)), sz
            p = z + sz / before * p
            waited = 0 if sz < lowest / 2 else waited + 1
            lowest = min(sz, lowest)
        return Q, image

    def _beside(self, y: Array) -> Array:
        """Return ``(I − Π) y``."""
        return y - self._from_first(self._divide_first(self._onto_first(y)))

    def _from_first(self, P: Array) -> Array:
        return self.model.scale * self.model.whitened.forward_factors(P, self.model.split(self.x)[1])

    def _from_second(self, Q: Array) -> Array:
        return self.model.scale * self.model.whitened.forward_factors(self.model.split(self.x)[0], Q)

    def _onto_first(self, y: Array) -> Array:
        return np.asarray(self.model.dual_matrix(y) @ self.model.split(self.x)[1])

    def _onto_second(self, y: Array) -> Array:
        return np.asarray(self.model.dual_matrix(y).T @ self.model.split(self.x)[0])

    def _divide_first(self, P: Array) -> Array:
        return _times(self.model.split(self.inverse)[0], P)

    def _divide_second(self, Q: Array) -> Array:
        return _times(self.model.split(self.inverse)[1], Q)


def _times(blocks: Array, rows: Array) -> Array:
    return np.asarray((blocks @ rows[:, :, None])[:, :, 0])


def inverse_blocks(blocks: Array) -> Array:
    """Return generalised inverses of positive semidefinite blocks (n, k, k), whose columns may differ much in size.

    ``A G A = A``, and G is the inverse where there is one.

    Examples
    --------
    >>> inverse_blocks(np.array([[[2.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    array([[[0.5 , 0.  ],
            [0.  , 0.5 ]],
    <BLANKLINE>
           [[0.25, 0.25],
            [0.25, 0.25]]])
    """
    n, k = blocks.shape[:2]
    if n == 0 or k == 0:
        return blocks.copy()
    size = np.sqrt(np.einsum("ncc->c", blocks))
    size[size == 0] = 1.0
    units = np.outer(size, size)
    even = blocks / units
    ridge = EPS * np.einsum("ncc->n", even)
    ridge[ridge == 0] = 1.0
    diagonal = np.arange(k)
    even[:, diagonal, diagonal] += ridge[:, None]
    inverse = np.linalg.inv(even)
    poor = np.abs(inverse).max(axis=(1, 2)) * np.einsum("ncc->n", even) > SINGULAR
    if poor.any():
        even[:, diagonal, diagonal] -= ridge[:, None]
        inverse[poor] = np.linalg.pinv(even[poor], rcond=1 / SINGULAR, hermitian=True)
    return np.asarray(inverse / units)
