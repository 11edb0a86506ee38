"""SplitBlock: a diagonal block of X and D, split where D is nearly singular.

Near a solution, D has a few tiny eigenvalues. Their eigenvectors P (n, k) span the face that contains the solution.
With ``core = Pᵀ X P`` and ``V = X P core⁻¹``, the block X is ``V core Vᵀ`` plus a remainder that vanishes on P.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["SplitBlock", "symmetric"]

#: Eigenvalue of D below which its eigenvector belongs to the face, if the smallest one is below ``TINY``. Otherwise
#: rounding does no harm, and there is no face.
FACE = 1e-5
#: Smallest eigenvalue of D below which a block has a face.
TINY = 1e-9
#: Largest number of columns of P.
MOST_COLUMNS = 24


def symmetric(blocks: Array) -> Array:
    """Return the symmetric part of a matrix or of blocks."""
    return (blocks + blocks.swapaxes(-1, -2)) / 2


@dataclass(frozen=True, eq=False)
class SplitBlock:
    """A diagonal block of X and D, split by its face.

    ``whole`` is X, ``tilt`` is ``V − P``, ``slack`` (k,) holds the eigenvalues of D that belong to P, and ``regular``
    is ``D⁻¹`` outside the face. ``large`` is ``V core Vᵀ``, ``remainder`` is the rest of X, and ``negative`` is
    ``−X + sym(V core Pᵀ)``.
    """

    whole: Array
    P: Array
    tilt: Array
    slack: Array
    regular: Array
    large: Array
    remainder: Array
    negative: Array
    inverse_core: Array

    @classmethod
    def from_eigenvectors(cls, X: Array, values: Array, Q: Array, k: int | None = None) -> SplitBlock:
        """Split a block X by the eigenvalues of D, in ascending order, and their eigenvectors.

        The face has k dimensions, by default as many as D has tiny eigenvalues.
        """
        if k is None:
            k = min(int(np.count_nonzero(values < FACE)), MOST_COLUMNS) if values[0] < TINY else 0
        P, N = Q[:, :k], Q[:, k:]
        regular = symmetric((N / values[k:]) @ N.T)
        if not k:
            return cls(X, P, P, values[:k], regular, np.zeros_like(X), X, -X, np.zeros((0, 0)))
        core, across = P.T @ X @ P, N.T @ X @ P
        units = np.sqrt(np.outer(np.diagonal(core), np.diagonal(core)))
        inverse_core = symmetric(np.linalg.inv(symmetric(core) / units) / units)
        tilt = N @ (across @ inverse_core)
        V = P + tilt
        remainder = symmetric(N @ symmetric(N.T @ X @ N - across @ inverse_core @ across.T) @ N.T)
        negative = -remainder - symmetric(V @ (N @ across).T)
        return cls(X, P, tilt, values[:k], regular, symmetric(V @ core @ V.T), remainder, negative, inverse_core)

    @property
    def inverse(self) -> Array:
        """``D⁻¹``."""
        return symmetric(self.regular + (self.P / self.slack) @ self.P.T)

    def change(self, K: Array) -> Array:
        """Return ``½ sym(X K D⁻¹)`` without the part of the face, ``½ sym(V core Vᵀ K P slack⁻¹ Pᵀ)``."""
        near = (self.remainder @ (K @ self.P) / self.slack) @ self.P.T
        return symmetric(near + (self.whole @ K) @ self.regular) / 2

    def basis(self) -> Array:
        """Return an orthonormal basis of the matrices C (k², k, k): symmetric ones, then antisymmetric ones."""
        return _basis(len(self.slack))

    def face(self, C: Array) -> Array:
        """Return ``sym(V C Pᵀ)``, from which ``P C Pᵀ`` drops out without rounding if C is antisymmetric."""
        return symmetric((self.P @ symmetric(C) + self.tilt @ C) @ self.P.T)

    def costs(self, basis: Array) -> Array:
        """Return the matrix of the quadratic form ``tr(Cᵀ core⁻¹ C slack)`` in a basis."""
        images = self.inverse_core @ basis * self.slack
        return symmetric(np.tensordot(basis, images, ((1, 2), (1, 2))))

    def aims(self, basis: Array) -> Array:
        """Return ``tr(Cᵀ slack)`` for the elements of a basis."""
        return np.asarray(np.einsum("qaa,a->q", basis, self.slack))


@cache
def _basis(k: int) -> Array:
    root = np.sqrt(0.5)
    rows, cols = np.tril_indices(k)
    off = rows != cols
    C, place = np.zeros((k * k, k, k)), np.arange(len(rows))
    C[place, rows, cols] = C[place, cols, rows] = np.where(off, root, 1.0)
    rows, cols, place = rows[off], cols[off], np.arange(len(rows), k * k)
    C[place, rows, cols], C[place, cols, rows] = root, -root
    C.flags.writeable = False
    return C
