"""Least squares in the tangent space of a sampled product, with one of the two factors eliminated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.kernels import MIN_COMPILED_CELLS
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries
from flatmin.measurements.entries import MIN_BUSY_WORK

__all__ = ["CellEquations", "inverse_blocks"]

#: Largest number of conjugate gradient steps of a solve.
MOST_STEPS = 100
#: A solve ends after this many steps in a row that do not halve the least squared residual, as rounding prevents
#: progress.
PATIENCE = 12
#: A solve ends when the squared residual is this many times its minimum so far, because rounding errors in the null
#: space grow.
MAX_GROWTH = 1e3
#: Smallest ratio of final to first residual that one solve can reach. More digits need another solve for the final
#: residual.
MIN_SHRINK = 1e-8
#: Largest number of successive solves, each for the residual of the one before.
MAX_REFINEMENTS = 4
#: A block counts as singular if the largest entry of its inverse, times the trace of the block, exceeds this.
SINGULAR_INVERSE = 1e10


@dataclass(frozen=True, eq=False)
class CellEquations:
    """The derivative ``J (P, Q) = scale · B(P Rᵀ + L Qᵀ)`` of a sampled product, and solves with it.

    Every entry depends on one row of P and one row of Q, so the diagonal blocks of ``JᵀJ`` for P and for Q consist of
    one block for each row. P is eliminated exactly, and Π is the projector on the range of ``J_P``.
    docs/theory/algorithms.md explains the equations for Q ("Entries").

    ``blocks`` and ``inverse``, shape (d1 + d2, k, k), are the blocks of ``JᵀJ`` for the stacked factors x and their
    generalised inverses. Methods take ``side`` 0 for P and rows, 1 for Q and columns.
    """

    model: QuadraticMap
    x: Array
    blocks: Array
    inverse: Array

    @classmethod
    def from_derivative(cls, derivative: Linearization) -> CellEquations | None:
        """Return the equations of the derivative of a sampled product, or None for any other derivative."""
        model = derivative.model
        if not model.is_product or not isinstance(model.whitened, Entries):
            return None
        blocks = model.blocks(derivative.x)
        return cls(model, derivative.x, blocks, inverse_blocks(blocks))

    def pseudo_inverse(self, target: Array, tol: float) -> Array:
        """Return ``J⁺ target`` for a target (m,), or ``(Jᵀ)⁺ target`` for stacked factors."""
        return self.least_norm(target, tol) if target.ndim == 2 else self.least_squares(target, tol)

    def least_squares(self, target: Array, tol: float) -> Array:
        """Return stacked ``d = J⁺ target`` for a target (m,), up to changes d with ``J d = 0``.

        The gradient ``Jᵀ (target − J d)`` shrinks by the factor tol, in the norm of the preconditioner.
        """
        slope = self._onto(1, self._outside(target))
        Q = self._iterate(slope, max(tol, MIN_SHRINK))
        if tol < MIN_SHRINK:
            Q += self._iterate(self._onto(1, self._outside(target - self._from(1, Q))), tol / MIN_SHRINK)
        P = self._divide(0, self._onto(0, target - self._from(1, Q)))
        return np.concatenate([P, Q])

    def least_norm(self, target: Array, tol: float) -> Array:
        """Return the shortest y (m,) with ``Jᵀ y = target`` for a stacked target in the range of ``Jᵀ``.

        The residual shrinks by the factor tol, in the norm of the preconditioner, or as far as rounding allows.
        """
        first, second = self.model.split(target)
        y = self._from(0, self._divide(0, first))
        slope = second - self._onto(1, y)
        goal = max(tol, 8 * EPS) * self._size(slope)
        for _ in range(MAX_REFINEMENTS):
            size = self._size(slope)
            if not size > goal:
                break
            moved = y + self._outside(self._from(1, self._iterate(slope, max(goal / size, MIN_SHRINK))))
            slope = second - self._onto(1, moved)
            if not self._size(slope) < size:
                break
            y = moved
        return y

    def _iterate(self, slope: Array, tol: float) -> Array:
        """Solve ``J_Qᵀ (I − Π) J_Q Q = slope``."""
        Q, s, z = np.zeros_like(slope), slope, self._divide(1, slope)
        p, sz = z, float(np.vdot(slope, z))
        goal, lowest, waited = min(tol, 1.0) ** 2 * sz, sz, 0
        for _ in range(MOST_STEPS):
            if not goal < sz <= MAX_GROWTH * lowest or waited > PATIENCE:
                break
            Sp = _times(self.model.split(self.blocks)[1], p) - self._across(1, self._divide(0, self._across(0, p)))
            curvature = float(np.vdot(p, Sp))
            if curvature <= 0:
                break
            Q, s = Q + sz / curvature * p, s - sz / curvature * Sp
            z = self._divide(1, s)
            sz, before = float(np.vdot(s, z)), sz
            p = z + sz / before * p
            waited = 0 if sz < lowest / 2 else waited + 1
            lowest = min(sz, lowest)
        return Q

    def _size(self, slope: Array) -> float:
        return float(np.sqrt(max(0.0, float(np.vdot(slope, self._divide(1, slope))))))

    @cached_property
    def _squares(self) -> tuple[Array, Array] | None:
        """Squared weights of the cells by rows and by columns; None if there are too few cells for compiled loops."""
        whitened = self.model.whitened
        assert isinstance(whitened, Entries)
        if whitened.size < MIN_COMPILED_CELLS and whitened.size * self.x.shape[1] < MIN_BUSY_WORK:
            return None
        squares = whitened.cells.arranged((self.model.scale * whitened.norms()) ** 2)
        return squares, whitened.cells.transposed.arranged(squares)

    def _across(self, side: int, other: Array) -> Array:
        """Return the product of the coupling block of ``JᵀJ`` with an element of the other side."""
        if self._squares is None:
            return self._onto(side, self._from(1 - side, other))
        from flatmin.linalg.kernels.cross_products import cross_product

        assert isinstance(self.model.whitened, Entries)
        cells, factors = self.model.whitened.cells, self.model.split(self.x)
        cells = cells.transposed if side else cells
        return cross_product(cells, self._squares[side], factors[side], factors[1 - side], other)

    def _outside(self, y: Array) -> Array:
        """Return ``(I − Π) y``."""
        return y - self._from(0, self._divide(0, self._onto(0, y)))

    def _from(self, side: int, F: Array) -> Array:
        """Return ``J_P P`` or ``J_Q Q``."""
        L, R = self.model.split(self.x)
        return self.model.scale * self.model.whitened.forward_factors(*((L, F) if side else (F, R)))

    def _onto(self, side: int, y: Array) -> Array:
        """Return ``J_Pᵀ y`` or ``J_Qᵀ y``."""
        L, R = self.model.split(self.x)
        S = self.model.dual_matrix(y)
        return np.asarray(S.T @ L if side else S @ R)

    def _divide(self, side: int, F: Array) -> Array:
        return _times(self.model.split(self.inverse)[side], F)


def _times(blocks: Array, rows: Array) -> Array:
    return np.asarray((blocks @ rows[:, :, None])[:, :, 0])


def inverse_blocks(blocks: Array) -> Array:
    """Return generalised inverses of positive semidefinite blocks (n, k, k), whose columns may differ much in size."""
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
    poor = np.abs(inverse).max(axis=(1, 2)) * np.einsum("ncc->n", even) > SINGULAR_INVERSE
    if poor.any():
        even[:, diagonal, diagonal] -= ridge[:, None]
        inverse[poor] = np.linalg.pinv(even[poor], rcond=1 / SINGULAR_INVERSE, hermitian=True)
    return np.asarray(inverse / units)


def _inverse_or_infinite(blocks: Array) -> Array:
    """Return the inverses of blocks (n, k, k), infinite for a block that is singular to the last digit.

    NumPy refuses the whole batch because of one singular block, so that block is found by bisection.
    """
    try:
        return np.linalg.inv(blocks)
    except np.linalg.LinAlgError:
        if len(blocks) == 1:
            return np.full_like(blocks, np.inf)
        half = len(blocks) // 2
        return np.concatenate([_inverse_or_infinite(blocks[:half]), _inverse_or_infinite(blocks[half:])])
