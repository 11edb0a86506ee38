"""Rounds of the augmented Lagrangian method with growing rho, which find the rank of a split and roughly its errors."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.row_passes import RowPasses

__all__ = ["SINGLE", "Pair", "Rounds", "Triplets"]

Triplets = tuple[Array, Array, Array]
Pair = tuple[Array, Array]

#: First rho, in units of one over the norm of the data.
FIRST_RHO = 1.25
#: Factor of rho in every round.
GROWTH = 1.7
#: Precision of the rounds, whose result is only a start for the fit and for the dual matrix.
SINGLE = np.float32
EPS = float(np.finfo(SINGLE).eps)
#: Number of spare right singular vectors in the subspace, in addition to those in use, so that new ones can appear.
SPARE_VECTORS = 10
#: Rounds end if the rank exceeds this share of the smaller side, because they would be slow.
MAX_RANK_SHARE = 0.2
#: Number of cells of a row or a column from which its median is estimated.
CELLS_PER_LINE = 64
#: Number of cells from which the median of the matrix is estimated.
SAMPLED_CELLS = 5_000


class Rounds:
    """The state of the rounds: ``Z = Y − S + W/ρ``, the last X, and the rank after which Z's singular values drop most.

    The rounds use ``rough``, the data in single precision. The fit after them uses ``passes``, in double precision.
    """

    def __init__(self, Y: Array, seen: Array | None, weight: float, seed: int) -> None:
        self.passes, self.weight = RowPasses(Y, seen), weight
        self.rough = RowPasses(Y.astype(SINGLE), seen)
        self.rng = np.random.default_rng(seed)
        d1, d2 = Y.shape
        Z = self.rough.Y
        self._basis = self._directions(min(SPARE_VECTORS, d1, d2))
        for _ in range(2):
            self._basis = np.linalg.qr(self.rough.adjoint_products(Z, self.rough.products(Z, self._basis)))[0]
        self.norm = float(np.linalg.norm(self.rough.products(Z, self._basis), 2)) or 1.0
        self.rho = FIRST_RHO / self.norm
        self.triplets: Triplets = np.zeros((d1, 0)), np.zeros(0), np.zeros((d2, 0))
        self.W: Array = Z / max(self.norm, float(max(Z.max(), -Z.min())) / weight)
        self.Z: Array = Z + self.W / self.rho
        rows, cols = self.rng.integers(d1, size=SAMPLED_CELLS), self.rng.integers(d2, size=SAMPLED_CELLS)
        known = slice(None) if seen is None else seen[rows, cols]
        self.sample = rows[known], cols[known]
        self.rank = 0

    def step(self) -> bool:
        """Make a round; return whether its rank is low enough to go on."""
        found = self._shrunk()
        if found is None:
            return False
        self.triplets = U, s, V = found
        following = self.rho * GROWTH
        L, R = (U * s).astype(SINGLE), V.astype(SINGLE)
        self.rough.ascend(L, R, self.W, self.Z, level=self.weight, rho=self.rho, following=following)
        self.rho = following
        return True

    def median(self, U: Array, s: Array, V: Array) -> float:
        """Return the median of ``|Y − X|`` over a sample of observed cells."""
        rows, cols = self.sample
        left = self.passes.Y[rows, cols] - np.einsum("ij,ij->i", (U * s)[rows], V[cols])
        return float(np.median(np.abs(left))) if len(rows) else 0.0

    def medians(self, U: Array, s: Array, V: Array) -> Pair:
        """Return the medians of ``|Y − X|`` in every row and every column, each over a sample of cells."""
        (d1, d2), seen = self.passes.Y.shape, self.passes.seen
        some = self.rng.permutation(d1)[:CELLS_PER_LINE], self.rng.permutation(d2)[:CELLS_PER_LINE]
        cells: tuple[tuple[Any, Any], ...] = ((slice(None), some[1]), (some[0], slice(None)))
        found = []
        for axis, (rows, cols) in zip((1, 0), cells, strict=True):
            left = np.abs(self.passes.Y[rows, cols] - (U[rows] * s) @ V[cols].T)
            if seen is not None:  # unobserved cells come last and do not count
                left[~seen[rows, cols]] = np.inf
            left.sort(axis=axis)
            middle = np.count_nonzero(left < np.inf, axis=axis, keepdims=True) // 2
            found.append(np.take_along_axis(left, np.minimum(middle, left.shape[axis] - 1), axis=axis).ravel())
        return found[0], found[1]

    def _shrunk(self) -> Triplets | None:
        """Return the singular triplets of Z with values above 1/ρ, reduced by 1/ρ, or None if they are too many."""
        smaller = min(self.Z.shape)
        while True:
            if self._basis.shape[1] > max(MAX_RANK_SHARE * smaller, SPARE_VECTORS + 2):
                return None
            Q = np.linalg.qr(self.rough.products(self.Z, self._basis))[0]
            inner, s, Vt = np.linalg.svd(self.rough.adjoint_products(self.Z, Q).T, full_matrices=False)
            kept = int(np.count_nonzero(s > 1 / self.rho))
            if kept < len(s):
                break
            self._basis = np.linalg.qr(np.hstack([Vt.T, self._directions(SPARE_VECTORS + kept // 2)]))[0]
        self._basis = Vt[: kept + SPARE_VECTORS].T
        self.rank = 1 + int(np.argmax(s[:kept] / np.maximum(s[1 : kept + 1], EPS * s[0]))) if kept else 0
        U, values, V = (part.astype(float) for part in (Q @ inner[:, :kept], s[:kept], Vt[:kept].T))
        return U, values - 1 / self.rho, V

    def _directions(self, count: int) -> Array:
        return self.rng.standard_normal((self.passes.Y.shape[1], count)).astype(SINGLE)
