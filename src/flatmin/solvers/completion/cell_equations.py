"""Least squares in the tangent space of a sampled product, with one of the two factors eliminated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.kernels import MIN_COMPILED_CELLS
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries
from flatmin.measurements.entries import MIN_BUSY_WORK

__all__ = ["CellEquations", "inverse_blocks"]

#: Conjugate gradient steps that one solve may take.
MOST_STEPS = 100
#: It ends after so many steps that did not halve the square of what is missing: rounding sets the limit …
PATIENCE = 12
#: … or that left so many times the least of it: rounding in the null space then grows.
GROWN = 1e3
#: More digits than these are had by solving again for what is missing, computed afresh.
AT_ONCE = 1e-8
REFINEMENTS = 4
#: A block whose inverse, after its columns are scaled to unit size, is larger than this has a null space.
SINGULAR = 1e10


@dataclass(frozen=True, eq=False)
class CellEquations:
    """The derivative ``J (P, Q) = scale · B(P Rᵀ + L Qᵀ)`` of a sampled product, and solves with it.

    Every cell meets one row of P and one of Q. So each half of ``JᵀJ`` is a block for every row, P is eliminated
    exactly, and what is left is ``(I − Π) J_Q`` with the projector Π on the range of ``J_P``. Conjugate gradients on
    its normal equations, preconditioned by the blocks of ``J_QᵀJ_Q``, take half the steps that they would take on
    both factors, at the same cost a step. The factors of one matrix form a null space, which they hardly enter.

    Parameters
    ----------
    model : QuadraticMap
        A product measured by `Entries`.
    x : ndarray, shape (d1 + d2, k)
        Stacked factors.
    blocks, inverse : ndarray, shape (d1 + d2, k, k)
        The blocks of ``JᵀJ`` and generalised inverses of them.
    """

    model: QuadraticMap
    x: Array
    blocks: Array
    inverse: Array

    @classmethod
    def of(cls, derivative: Linearization) -> CellEquations | None:
        """Return the equations of a derivative, None unless it is that of a sampled product."""
        model = derivative.model
        if not model.is_product or not isinstance(model.whitened, Entries):
            return None
        blocks = model.blocks(derivative.x)
        return cls(model, derivative.x, blocks, inverse_blocks(blocks))

    def least_squares(self, target: Array, tol: float) -> Array:
        """Return stacked ``d = J⁺ target`` for a target (m,), up to changes that leave ``J d`` alone.

        The gradient ``Jᵀ (target − J d)`` shrinks by the factor tol, in the norm of the preconditioner.
        """
        slope = self._onto_second(self._beside(target))
        Q = self._iterate(slope, max(tol, AT_ONCE))
        if tol < AT_ONCE:
            Q += self._iterate(self._onto_second(self._beside(target - self._from_second(Q))), tol / AT_ONCE)
        P = self._divide_first(self._onto_first(target - self._from_second(Q)))
        return np.concatenate([P, Q])

    def least_norm(self, target: Array, tol: float) -> Array:
        """Return the shortest y (m,) with ``Jᵀ y = target`` for a stacked target in the range of ``Jᵀ``.

        What is missing shrinks by the factor tol, in the norm of the preconditioner, or as far as rounding allows.
        """
        first, second = self.model.split(target)
        y = self._from_first(self._divide_first(first))
        slope = second - self._onto_second(y)
        goal = max(tol, 8 * EPS) * self._size(slope)
        for _ in range(REFINEMENTS):
            size = self._size(slope)
            if not size > goal:
                break
            moved = y + self._beside(self._from_second(self._iterate(slope, max(goal / size, AT_ONCE))))
            slope = second - self._onto_second(moved)
            if not self._size(slope) < size:
                break
            y = moved
        return y

    def _iterate(self, slope: Array, tol: float) -> Array:
        """Solve ``J_Qᵀ (I − Π) J_Q Q = slope``."""
        Q, s, z = np.zeros_like(slope), slope, self._divide_second(slope)
        p, sz = z, float(np.vdot(slope, z))
        goal, lowest, waited = min(tol, 1.0) ** 2 * sz, sz, 0
        for _ in range(MOST_STEPS):
            if not goal < sz <= GROWN * lowest or waited > PATIENCE:
                break
            Sp = _times(self.model.split(self.blocks)[1], p) - self._across_to_second(
                self._divide_first(self._across_to_first(p))
            )
            curvature = float(np.vdot(p, Sp))
            if curvature <= 0:
                break
            Q, s = Q + sz / curvature * p, s - sz / curvature * Sp
            z = self._divide_second(s)
            sz, before = float(np.vdot(s, z)), sz
            p = z + sz / before * p
            waited = 0 if sz < lowest / 2 else waited + 1
            lowest = min(sz, lowest)
        return Q

    def _size(self, slope: Array) -> float:
        return float(np.sqrt(max(0.0, float(np.vdot(slope, self._divide_second(slope))))))

    def _across_to_first(self, Q: Array) -> Array:
        """Return ``J_Pᵀ J_Q Q``."""
        if self._squares is None:
            return self._onto_first(self._from_second(Q))
        from flatmin.linalg.kernels.cross_products import cross_product

        return cross_product(self._cells, self._squares[0], *self.model.split(self.x), Q)

    def _across_to_second(self, P: Array) -> Array:
        """Return ``J_Qᵀ J_P P``."""
        if self._squares is None:
            return self._onto_second(self._from_first(P))
        from flatmin.linalg.kernels.cross_products import cross_product

        L, R = self.model.split(self.x)
        return cross_product(self._cells.transposed, self._squares[1], R, L, P)

    @property
    def _cells(self) -> Any:
        assert isinstance(self.model.whitened, Entries)
        return self.model.whitened.cells

    @cached_property
    def _squares(self) -> tuple[Array, Array] | None:
        """Squared weights of the cells by rows and by columns; None where so few need no compiled loops."""
        if self.model.whitened.size < MIN_COMPILED_CELLS and self.model.whitened.size * self.x.shape[1] < MIN_BUSY_WORK:
            return None
        squares = self._cells.arranged((self.model.scale * self.model.whitened.norms()) ** 2)
        return squares, self._cells.transposed.arranged(squares)

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
    inverse = _inverse_or_infinite(even)
    poor = np.abs(inverse).max(axis=(1, 2)) * np.einsum("ncc->n", even) > SINGULAR
    if poor.any():
        even[:, diagonal, diagonal] -= ridge[:, None]
        inverse[poor] = np.linalg.pinv(even[poor], rcond=1 / SINGULAR, hermitian=True)
    return np.asarray(inverse / units)


def _inverse_or_infinite(blocks: Array) -> Array:
    """Return the inverses of blocks (n, k, k), infinite where a block is singular to the last digit.

    NumPy refuses a whole batch because of one such block, so it is found by halving.
    """
    try:
        return np.linalg.inv(blocks)
    except np.linalg.LinAlgError:
        if len(blocks) == 1:
            return np.full_like(blocks, np.inf)
        half = len(blocks) // 2
        return np.concatenate([_inverse_or_infinite(blocks[:half]), _inverse_or_infinite(blocks[half:])])
