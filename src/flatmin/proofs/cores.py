"""Cores: the small Hermitian matrices S for which ``U S V*`` may be a flat minimum, and their map to measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.base import Pairs, Triplets
from flatmin.linalg.factorizations import root_of_smallest, smallest_singular_value
from flatmin.linalg.forward_error import gamma
from flatmin.measurements import Entries, Measurement

__all__ = [
    "MAX_CORES",
    "CoreMap",
    "core_basis",
    "core_columns",
    "core_columns_error",
    "core_gram",
    "nearest_core",
    "triangle_of_product",
]

#: The map on cores is formed as a matrix of at most this many numbers.
MAX_NUMBERS = 60_000_000
#: Largest dimension of a space of cores for which dense decompositions are computed.
MAX_CORES = 1500
#: The Gram matrix of entries is formed in compiled loops if that takes at most this many multiplications.
MAX_GRAM_WORK = 1e9
#: Singular values can be computed from a Gram matrix if their squares are above this share of the largest square.
MIN_SQUARE = 1e-8


@dataclass(frozen=True, eq=False)
class CoreMap:
    """The map ``S ↦ B(U S V*)`` on cores, as a small matrix, with a proved lower bound on its singular values.

    ``triangle`` has the singular values of the map after each measurement is divided by the norm of its sensing matrix.
    ``injectivity`` is a lower bound on the singular values of the map itself.
    """

    triangle: Array
    injectivity: float

    @property
    def ratio(self) -> float:
        """The smallest singular value of ``triangle`` over the largest."""
        values = np.linalg.svd(self.triangle, compute_uv=False)
        smallest = values[-1] if len(values) == self.triangle.shape[1] else 0.0
        return float(smallest / values[0]) if values[0] > 0 else 0.0

    @classmethod
    def from_map(
        cls, whitened: Measurement, U: Array, V: Array, pairs: Pairs, sizes: Array, sides: Array | None, work: float
    ) -> CoreMap | None:
        """Return the map, from the Gram matrix of entries if that is accurate enough, else column by column.

        ``pairs`` are the `Cone.core_pairs` of orthonormal U (d1, q) and V (d2, q), ``sizes`` (m,) the norms of the
        whitened sensing matrices, and ``sides`` the `Cone.derivative`, if known. The result is None if the map needs
        more than ``work`` multiplications or `MAX_NUMBERS` numbers.
        """
        m, blocks = whitened.size, len(U) * U.shape[1] ** 4 + len(pairs) ** 3
        if sides is None and len(pairs) <= MAX_CORES and blocks <= max(work, MAX_GRAM_WORK):
            found = cls._from_gram(whitened, U, V, pairs, sizes)
            if found is not None:
                return found
        if m * len(pairs) > MAX_NUMBERS or m * len(pairs) ** 2 > work:
            return None
        core = core_columns(whitened, U, V, pairs, sides)
        triangle = core / np.where(sizes > 0, sizes, 1)[:, None]
        if len(triangle) > triangle.shape[1]:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
        return cls(triangle, smallest_singular_value(core))

    @classmethod
    def _from_gram(cls, whitened: Measurement, U: Array, V: Array, pairs: Pairs, sizes: Array) -> CoreMap | None:
        """Return the map of real entries, or None if its smallest singular value is lost in the Gram matrix."""
        if not isinstance(whitened, Entries) or np.iscomplexobj(U):
            return None
        weights = np.divide(1.0, sizes, out=np.ones_like(sizes), where=sizes > 0)
        values, Q = np.linalg.eigh(core_gram(whitened.weighted(weights), U, V, pairs)[0])
        if not values[0] > MIN_SQUARE * values[-1]:
            return None
        triangle = np.sqrt(values[::-1, None]) * Q.T[::-1]
        return cls(triangle, root_of_smallest(*core_gram(whitened, U, V, pairs)))


def core_columns(whitened: Measurement, U: Array, V: Array, pairs: Pairs, sides: Array | None = None) -> Array:
    """Return the matrix of ``S ↦ B(U S V*)`` on the basis `core_basis`, of shape (m, n), for U (d1, q) and V (d2, q).

    Cores may differ from zero at the positions ``pairs``, (i, j) with i ≤ j; ``sides`` is the `Cone.derivative`, if
    known.
    """
    q = U.shape[1]
    columns = np.empty((whitened.size, len(pairs)), order="F")
    if sides is None and np.isrealobj(U) and whitened.size * q * sum(whitened.shape) <= MAX_NUMBERS:
        sides = whitened.products(V)
    if sides is not None and np.isrealobj(U):
        core = sides[..., : whitened.shape[0]] @ U
        rows, cols = np.array(pairs, dtype=int).reshape(-1, 2).T
        columns[:] = core[:, rows, cols] + core[:, cols, rows]
    else:
        for c, (i, j) in enumerate(pairs):
            columns[:, c] = whitened.forward_factors(U[:, [i, j]], V[:, [j, i]])
    columns /= np.array([2 if i == j else np.sqrt(2) for i, j in pairs])
    if np.isrealobj(U):
        return columns
    skew = [whitened.forward_factors(1j * U[:, [i, j]] * [1, -1], V[:, [j, i]]) for i, j in pairs if i != j]
    return np.column_stack([columns, *(column / np.sqrt(2) for column in skew)])


def core_columns_error(whitened: Measurement, U: Array, V: Array, pairs: Pairs) -> float:
    """Return a bound on the norm of the rounding errors of `core_columns` for complex U, from those of its products.

    A column of a pair i ≠ j has one imaginary companion, whose products have the same absolute values.
    """
    squares = 0.0
    for i, j in pairs:
        error = float(np.linalg.norm(whitened.forward_error(U[:, [i, j]], V[:, [j, i]])))
        squares += error**2 / (4 if i == j else 1)
    return 1.01 * float(np.sqrt(squares))


def core_basis(q: int, pairs: Pairs, dtype: Any) -> Array:
    """Return the orthonormal basis (n, q, q) of cores: a real symmetric one for each pair, then imaginary ones."""
    off = [pair for pair in pairs if pair[0] != pair[1]] if np.issubdtype(dtype, np.complexfloating) else []
    N = np.zeros((len(pairs) + len(off), q, q), dtype=dtype)
    for c, (i, j) in enumerate(pairs):
        N[c, i, j] = N[c, j, i] = 1 if i == j else np.sqrt(0.5)
    for c, (i, j) in enumerate(off, start=len(pairs)):
        N[c, i, j], N[c, j, i] = 1j * np.sqrt(0.5), -1j * np.sqrt(0.5)
    return N


def core_gram(entries: Entries, U: Array, V: Array, pairs: Pairs) -> tuple[Array, float]:
    """Return the Gram matrix (n, n) of ``S ↦ B(U S Vᵀ)`` on the symmetric cores of n pairs, and a bound on its error.

    Observed cells in a row of the matrix share a row u of the real U (d1, q), so their part of
    ``Σ w² (u_i v_j)(u_k v_l)`` is ``u_i u_k`` times an entry of the block ``Σ w² v vᵀ`` of that row. The bound also
    covers the rounding errors of a Cholesky factorization of the matrix. The absolute values of all products form a
    positive semidefinite matrix. Its norm is at most its trace, ``Σ w² |u|² |v|²`` over the cells.
    """
    (d1, q), n = U.shape, len(pairs)
    blocks = entries.row_blocks(V).reshape(d1, -1)
    squares = (U[:, :, None] * U[:, None, :]).reshape(d1, -1)
    products = (squares.T @ blocks).reshape(q, q, q, q)  # [i, k, j, l]
    i, j = np.array(pairs, dtype=int).reshape(-1, 2).T
    gram = np.zeros((n, n))
    for left, right in ((i, j), (j, i)):
        for first, second in ((i, j), (j, i)):
            gram += products[left[:, None], first, right[:, None], second]
    lengths = np.where(i == j, 2.0, np.sqrt(2.0))
    gram /= np.outer(lengths, lengths)
    total = float(np.einsum("iijj->", products))
    return gram, 1.01 * gamma(entries.size + d1 + n + 40) * total


def nearest_core(Z: Triplets, U: Array, V: Array) -> Array:
    """Return the Hermitian part of ``U* Z V``."""
    left, s, right = Z
    core = (U.conj().T @ left * s) @ (right.conj().T @ V)
    return np.asarray((core + core.conj().T) / 2)


def triangle_of_product(P: Array, Q: Array) -> Array:
    """Return a small matrix with the singular values of ``P Q*``, without cancellation."""
    TP, TQ = (np.asarray(np.linalg.qr(F, mode="r")) for F in (P, Q))
    return np.asarray(TP @ TQ.conj().T)
