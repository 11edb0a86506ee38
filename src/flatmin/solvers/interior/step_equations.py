"""The linear equations of an interior point step, solved without loss of digits where D is nearly singular.

A step moves y by dy and X by ``dX = target − X + ½ sym(X K(dy) D⁻¹)`` such that X fits the data. On the face of a block
(`SplitBlock`), ``½ sym(X K D⁻¹)`` is a huge multiple of a tiny matrix. Its rounding errors would spoil the fit outside
the face, where X is small. So its coefficients w on the face are unknowns of their own:

    M dy + A w = what the data lack,        Aᵀ dy − costs w = aims.

M is the Schur complement of all other parts, and A holds the measurements of the parts of the face. ``costs`` and
``aims`` are as small as the tiny eigenvalues of D. These equations stay accurate up to gaps of 1e-13.

References
----------
Toh, "Solving large scale semidefinite programs via an iterative solver on the augmented systems", SIAM J. Optim. 14,
2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.measurements import Entries
from flatmin.solvers.interior.face import SplitBlock, symmetric
from flatmin.solvers.interior.schur_complement import SchurComplement

__all__ = ["StepEquations"]

#: Largest number of refinements of a step.
MOST_REFINEMENTS = 5


@dataclass(frozen=True, eq=False)
class StepEquations:
    """The equations at an iterate, with the Schur complement ``system`` and the small system ``coupling`` for w."""

    model: QuadraticMap
    blocks: list[SplitBlock]
    bases: list[Array]
    system: SchurComplement
    A: Array
    solved: Array  #: ``M⁻¹ A``
    costs: Array
    aims: Array
    coupling: tuple[Array, tuple[Array, bool]] | None

    @classmethod
    def from_blocks(cls, model: QuadraticMap, blocks: list[SplitBlock], shift: float) -> StepEquations | None:
        """Return the equations, or None if a system is singular."""

        def all_of(name: str) -> Array:
            return np.stack([getattr(block, name) for block in blocks])

        M = model.normal_matrix(all_of("remainder") / 4, all_of("inverse"))
        if any(len(block.slack) for block in blocks):
            M += model.normal_matrix(all_of("large") / 4, all_of("regular"))
        system = SchurComplement.from_lower(M, shift)
        if system is None:
            return None
        bases = [block.basis() for block in blocks]
        A = _columns(model, blocks, bases)
        costs = block_diag(*(block.costs(basis) for block, basis in zip(blocks, bases, strict=True)))
        aims = np.concatenate([block.aims(basis) for block, basis in zip(blocks, bases, strict=True)])
        if not len(aims):
            return cls(model, blocks, bases, system, A, A, costs, aims, None)
        solved = system.solve(A)
        S = costs + A.T @ solved
        unit = 1 / np.sqrt(np.diagonal(S))
        try:
            coupling = unit, cho_factor(S * np.outer(unit, unit), check_finite=False)
        except np.linalg.LinAlgError:
            return None
        return cls(model, blocks, bases, system, A, solved, costs, aims, coupling)

    @property
    def inverse(self) -> Array:
        """``D⁻¹``."""
        return np.stack([block.inverse for block in self.blocks])

    def step(self, b: Array, X: Array, target: Array, accuracy: float) -> tuple[Array, Array]:
        """Return dy and dX for which ``X D`` is ``target D`` to first order and X fits the data.

        The errors of both equations are reduced to the relative accuracy by refinement, unless rounding prevents this.
        """
        base = target + np.stack([block.negative for block in self.blocks])
        size = float(np.linalg.norm(b)), max(float(np.linalg.norm(self.aims)), 1e-300)
        dy, w, dX = np.zeros_like(b), np.zeros_like(self.aims), base
        lacking, bent, error = b - self.model.lifted_value(X + base), self.aims, np.inf
        for _ in range(1 + MOST_REFINEMENTS):
            more = self._solve(lacking, bent)
            longer = dy + more[0], w + more[1]
            there = base + self._change(*longer)
            left = b - self.model.lifted_value(X + there), self.aims + self.costs @ longer[1] - self.A.T @ longer[0]
            after = max(float(np.linalg.norm(part)) / unit for part, unit in zip(left, size, strict=True))
            if not after < error / 2:
                break
            (dy, w), dX, (lacking, bent), error = longer, there, left, after
            if error <= accuracy:
                break
        return dy, dX

    def _solve(self, lacking: Array, bent: Array) -> tuple[Array, Array]:
        """Return dy and w for both right-hand sides."""
        dy = self.system.solve(lacking)
        if self.coupling is None:
            return dy, bent
        unit, factor = self.coupling
        w = unit * cho_solve(factor, unit * (self.A.T @ dy - bent), check_finite=False)
        return dy - self.solved @ w, w

    def _change(self, dy: Array, w: Array) -> Array:
        """Return the change of X that dy and w cause."""
        changes, start = [], 0
        for block, basis, K in zip(self.blocks, self.bases, self.model.dual_blocks(dy), strict=True):
            stop = start + len(basis)
            changes.append(block.change(K) + block.face(np.tensordot(w[start:stop], basis, 1)))
            start = stop
        return np.stack(changes)


def _columns(model: QuadraticMap, blocks: list[SplitBlock], bases: list[Array]) -> Array:
    """Return the measurements of the parts of the faces, shape (m, number)."""
    if isinstance(model.whitened, Entries) and model.is_product:
        return _columns_of_cells(model, blocks[0], bases[0])
    columns = np.zeros((model.whitened.size, sum(map(len, bases))), order="F")
    W, place = np.zeros((len(blocks), *blocks[0].regular.shape)), 0
    for number, (block, basis) in enumerate(zip(blocks, bases, strict=True)):
        for C in basis:
            W[number] = block.face(C)
            columns[:, place] = model.lifted_value(W)
            place += 1
        W[number] = 0
    return columns


def _columns_of_cells(model: QuadraticMap, block: SplitBlock, basis: Array) -> Array:
    """Return the columns for cells (r, c), the combinations ``P_r sym(C) P_c + ½ (tilt_r C P_c + P_r Cᵀ tilt_c)``."""
    entries, (d1, _) = model.whitened, model.whitened.shape
    assert isinstance(entries, Entries)
    (P, Q), (S, T) = ((F[entries.rows], F[d1 + entries.cols]) for F in (block.P, block.tilt))
    even, both = _outer(P, Q), (_outer(S, Q) + _outer(P, T).swapaxes(1, 2)) / 2
    columns = np.tensordot(even, symmetric(basis), ((1, 2), (1, 2))) + np.tensordot(both, basis, ((1, 2), (1, 2)))
    weights = model.scale if entries.weights is None else model.scale * entries.weights[:, None]
    return np.asarray(weights * columns)


def _outer(L: Array, R: Array) -> Array:
    """Return the outer products of the rows of L and R."""
    return L[:, :, None] * R[:, None, :]
