"""The dual matrix of an exact split: signs on cells with errors; elsewhere the dual matrix of the rounds, corrected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.block_krylov import block_triplets
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.solvers.robust.error_free_fit import least_squares, product, projected
from flatmin.solvers.robust.penalty_rounds import Rounds, Triplets

__all__ = ["correct", "write_signs"]

#: Absolute accuracy of a correction of the dual matrix.
ACCURACY = 1e-12
#: Largest number of conjugate gradient steps for a correction.
MAX_PRODUCTS = 40
#: Largest number of corrections, which are repeated while entries exceed their bound.
MAX_CORRECTIONS = 20
#: Corrections end if an entry exceeds this multiple of its bound.
MAX_EXCESS = 1.5
#: Corrections end if the norm outside the tangent space exceeds this number.
MAX_NORM = 1.5
#: Singular values beyond this number are lowered to it, so that the next correction leaves them below one.
TARGET_NORM = 0.98
#: Relative accuracy of the singular vectors whose values are lowered, and the number that are computed at first.
DIRECTIONS, FEW_VALUES = 0.05, 32
#: Entries beyond their bound are reflected at this share of the bound, which leaves room for the next correction.
MIRROR_SHARE = 0.98
#: Relative accuracy of the singular vectors that give the norm outside the tangent space. The norm has the square of
#: this accuracy.
NORM_ACCURACY = 1e-3
#: A norm below this is certainly feasible, and its computation ends early.
FEASIBLE_NORM = 0.9


def write_signs(rounds: Rounds, triplets: Triplets, limit: float, free: Array, W: Array) -> float:
    """Set W to the weighted signs of the errors on cells with errors, and to the dual matrix of the rounds elsewhere.

    Mark the other observed cells in ``free``, and return the objective.
    """
    U, s, V = triplets
    weight, sizes = rounds.weight, []

    def write(rows: slice, left: Array) -> None:
        small = np.abs(left) <= limit
        W[rows] = np.where(small, rounds.W[rows], weight * np.sign(left))
        sizes.append(float(np.abs(left).sum()))
        if rounds.passes.seen is not None:
            small &= rounds.passes.seen[rows]
        free[rows] = small

    rounds.passes.leave(U * s, V, write)
    return float(s.sum() + weight * np.sum(sorted(sizes)))


def correct(rounds: Rounds, triplets: Triplets, W: Array, free: Array, cost: float, tol: float, clock: Clock) -> float:
    """Correct W on free cells, in place, until ``P_T W = U Vᵀ`` and neither entries nor the norm exceed their bounds.

    Returns the bound on the objective that W proves.
    """
    passes, (U, _, V), weight = rounds.passes, triplets, rounds.weight
    bound, largest_allowed, norm_allowed = -np.inf, MAX_EXCESS * weight, MAX_NORM
    for _ in range(MAX_CORRECTIONS):
        F, E = projected(U, passes.products(W, V), passes.adjoint_products(W, U))
        right = -F, V - E
        accuracy = ACCURACY / max(float(np.sqrt(product(right, right))), ACCURACY)
        H, reached = least_squares(passes, free, U, V, right, accuracy, MAX_PRODUCTS)
        passes.add(np.hstack([U, H[0]]), np.hstack([H[1], V]), free, W)
        norm, largest = max(1.0, _norm_outside(rounds, W, U, V)), float(max(W.max(), -W.min()))
        bound = float(np.vdot(W, passes.Y) / max(norm, largest / weight))
        if cost - bound <= tol * cost or not reached or clock.out_of_time:
            break
        if weight < largest <= largest_allowed:
            largest_allowed = largest
            _reflect(W, free, weight)
        elif largest <= weight and 1 < norm <= norm_allowed:
            largest_allowed, norm_allowed = MAX_EXCESS * weight, norm
            _lower(rounds, W, free, U, V)
        else:
            break
    return bound


def _lower(rounds: Rounds, W: Array, free: Array, U: Array, V: Array) -> None:
    """Lower the singular values of W outside the tangent space that are near one or above, in place, on free cells.

    Free cells hold their share of the change, so that the change is divided by this share.
    """
    outside, count, most = _Outside(rounds.passes, W, U, V), FEW_VALUES, min(W.shape) // 4
    while True:
        u, s, v = block_triplets(outside, count, DIRECTIONS, int(rounds.rng.integers(2**31)))
        if s[-1] <= TARGET_NORM or count >= most:
            break
        count = min(4 * count, most)
    over = s > TARGET_NORM
    change = u[:, over] * ((TARGET_NORM - s[over]) / np.mean(free))
    rounds.passes.add(change, v[:, over], free, W)


def _reflect(W: Array, free: Array, weight: float) -> None:
    """Reflect the free entries that exceed the weight, in place, at a size slightly below the weight."""
    for row, chosen in zip(W, free, strict=True):
        beyond = np.flatnonzero((np.abs(row) > weight) & chosen)
        row[beyond] = np.sign(row[beyond]) * np.maximum(2 * MIRROR_SHARE * weight - np.abs(row[beyond]), 0.0)


@dataclass(frozen=True, eq=False)
class _Outside:
    """The operator ``(I − U Uᵀ) W (I − V Vᵀ)``, known by its products."""

    passes: RowPasses
    W: Array
    U: Array
    V: Array
    turned: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        d1, d2 = self.W.shape
        return (d2, d1) if self.turned else (d1, d2)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.W.dtype

    @property
    def T(self) -> _Outside:
        return replace(self, turned=not self.turned)

    def __matmul__(self, block: Array) -> Array:
        first, last = (self.U, self.V) if self.turned else (self.V, self.U)
        product = self.passes.adjoint_products if self.turned else self.passes.products
        image = product(self.W, block - first @ (first.T @ block))
        return np.asarray(image - last @ (last.T @ image))


def _norm_outside(rounds: Rounds, W: Array, U: Array, V: Array) -> float:
    """Return the norm of ``(I − U Uᵀ) W (I − V Vᵀ)``, or slightly less."""
    if min(W.shape) <= U.shape[1]:
        return 0.0
    outside, seed = _Outside(rounds.passes, W, U, V), int(rounds.rng.integers(2**31))
    return float(block_triplets(outside, 1, NORM_ACCURACY, seed, below=FEASIBLE_NORM)[1].max(initial=0.0))
