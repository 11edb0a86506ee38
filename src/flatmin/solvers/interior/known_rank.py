"""Newton's method for the optimality conditions, once the rank of the solution is known.

    q(X) = b,        D(y) V = 0        for  X = V C Vᵀ,  V = P + N T,

block by block, where P holds the eigenvectors of the eigenvalues of D that should vanish, as many as the rank, and N
the others. A step solves

    M dy + A dC = what the data lack,        Aᵀ dy = these eigenvalues,

and ``N T = ½ D⁺ K(dy) V`` follows. It costs less than a step of the interior point method, and nearly squares the
error.

M is singular at a solution, ``M y = 0``, so a multiple of ``a aᵀ`` is added to it, where ``aᵀ dy`` is the sum of the
last equations. If the data exceed the degrees of freedom at this rank, then y is not unique and M has more null
vectors; a shift of its diagonal, which vanishes with the error, keeps dy small there.

References
----------
Alizadeh, Haeberly and Overton, "Primal-dual interior-point methods for semidefinite programming: convergence rates,
stability and numerical results", SIAM J. Optim. 8, 1998.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.measurements import Entries
from flatmin.solvers.interior.face import SplitBlock
from flatmin.solvers.interior.schur_complement import FIRST_SHIFT, SchurComplement

__all__ = ["is_clear", "optimal_pair"]

#: Relative error of the conditions that counts as rounding.
ROUNDING = 1e-13
#: Factor between the eigenvalues of D that should vanish and the others.
CLEAR = 4.0
#: Largest number of steps.
MOST_STEPS = 8
#: Share of the error that a step may leave; otherwise the rank is wrong, or the start too far.
LEFT = 0.3
#: Largest shift of the diagonal of M, relative to its entries, and its largest ratio to the error.
LARGEST_SHIFT, SHIFT = 1e-6, 0.1


def optimal_pair(model: QuadraticMap, b: Array, X: Array, y: Array, rank: int) -> tuple[Array, Array] | None:
    """Return X and y that fulfil the conditions up to rounding, or None if none are found near the given ones.

    X holds diagonal blocks, ``rank`` is that of all together. Whether X and D are positive semidefinite is for the
    caller to see.
    """
    try:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return _pair(model, b, X, y, rank)
    except LinAlgError:  # X has become singular, or numbers too large
        return None


def _pair(model: QuadraticMap, b: Array, X: Array, y: Array, rank: int) -> tuple[Array, Array] | None:
    """Return what `optimal_pair` does, or raise `LinAlgError`."""
    error, size = np.inf, float(np.linalg.norm(b))
    for _ in range(MOST_STEPS):
        values, Q = model.dual_spectrum(y)
        slack = (1 - values) / 2
        if not is_clear(slack, rank):
            return None
        ranks = np.count_nonzero(slack <= np.sort(slack, axis=None)[rank - 1], axis=1)
        blocks = [SplitBlock.from_eigenvectors(*parts) for parts in zip(X, slack, Q, ranks, strict=True)]
        large = np.stack([block.large for block in blocks])
        lacking = b - model.lifted_value(large)
        vanishing = np.concatenate([block.slack for block in blocks])
        before, error = error, max(float(np.linalg.norm(lacking)) / size, float(np.abs(vanishing).max()))
        if error <= ROUNDING:
            return large, y
        step = _step(model, blocks, lacking, error) if error <= LEFT * before else None
        if step is None:
            return None
        y, X = y + step[0], step[1]
    return None


def is_clear(slack: Array, rank: int) -> bool:
    """Return whether so many eigenvalues of D are clearly smaller than the others, of all blocks together."""
    order = np.sort(slack, axis=None)
    return 0 < rank < len(order) and bool(CLEAR * np.abs(order[:rank]).max() < order[rank])


def _step(model: QuadraticMap, blocks: list[SplitBlock], lacking: Array, error: float) -> tuple[Array, Array] | None:
    """Return dy and the next X, or None if the equations are singular."""
    V, places = [block.P + block.tilt for block in blocks], [np.tril_indices(len(block.slack)) for block in blocks]
    A = np.hstack([_columns(model, number, V, *place) for number, place in enumerate(places)])
    on_diagonal = np.concatenate([rows == cols for rows, cols in places])
    aims = np.zeros(len(on_diagonal))
    aims[on_diagonal] = np.concatenate([block.slack for block in blocks])
    M = model.normal_matrix(np.stack([b.large for b in blocks]) / 2, np.stack([b.regular for b in blocks]))
    total = A @ on_diagonal
    weight = float(np.trace(M)) / float(total @ total)
    M += np.outer(weight * total, total)
    system = SchurComplement.from_lower(M, max(FIRST_SHIFT, min(LARGEST_SHIFT, SHIFT * error)))
    if system is None:
        return None
    tilted = np.stack([block.tilt @ (block.whole @ block.P).T for block in blocks])
    right = lacking + model.lifted_value(tilted + tilted.swapaxes(1, 2)) + weight * aims.sum() * total
    halves = system.half(np.column_stack([A, right]))
    A_half, half = halves[:, :-1], halves[:, -1]
    coupling = cho_factor(A_half.T @ A_half, check_finite=False)
    w = cho_solve(coupling, A_half.T @ half - aims, check_finite=False)
    dy, start, X = system.other_half(half - A_half @ w), 0, []
    for block, F, (rows, cols), K in zip(blocks, V, places, model.dual_blocks(dy), strict=True):
        change = np.zeros((F.shape[1],) * 2)
        change[rows, cols] = _share(rows, cols) * w[start : start + len(rows)]
        start += len(rows)
        moved = block.P + block.regular @ (K @ F) / 2
        X.append(moved @ (block.P.T @ block.whole @ block.P + change + change.T) @ moved.T)
    return dy, np.stack(X)


def _columns(model: QuadraticMap, number: int, V: list[Array], rows: Array, cols: Array) -> Array:
    """Return ``q(V C Vᵀ)`` for an orthonormal basis of the symmetric matrices C of a block, shape (m, their number)."""
    whitened, F = model.whitened, V[number]
    if isinstance(whitened, Entries) and model.is_product:
        L, R = F[whitened.rows], F[whitened.shape[0] + whitened.cols]
        weights = model.scale if whitened.weights is None else model.scale * whitened.weights[:, None]
        return np.asarray(_share(rows, cols) * weights * (L[:, rows] * R[:, cols] + L[:, cols] * R[:, rows]))
    columns, W = np.zeros((whitened.size, len(rows)), order="F"), np.zeros((len(V), len(F), len(F)))
    for place, (share, i, j) in enumerate(zip(_share(rows, cols), rows, cols, strict=True)):
        pair = share * np.outer(F[:, i], F[:, j])
        W[number] = pair + pair.T
        columns[:, place] = model.lifted_value(W)
    return columns


def _share(rows: Array, cols: Array) -> Array:
    """Return what an element of the basis has at these places and at the transposed ones, twice on the diagonal."""
    return np.where(rows == cols, 0.5, np.sqrt(0.5))
