"""Bounds on singular values and eigenvalues from a whole decomposition, whose errors are measured, not assumed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, norm_of_blocks, rounded_up, spread

__all__ = ["Coupled", "ProvedBlocks", "leading_count", "norm_bound", "singular_values"]

#: Singular values above this share of the largest one count as leading, because the bound for the others is less
#: accurate.
TOGETHER = 1 - 1e-6
#: If the Gram matrix of the leading columns is at least this far from the identity, the Frobenius norm of S is used for
#: all bounds.
CROOKED = 1e-3


def leading_count(values: Array, given: int, unit: float) -> int:
    """Return the number of leading values: at least ``given``, all above ``unit``, and all close to the largest."""
    top = float(values[0]) if len(values) else 0.0
    return min(len(values), max(given, int(np.count_nonzero(values > min(unit * max(1.0, top), TOGETHER * top)))))


def singular_values(B: Array) -> tuple[Array, float]:
    """Return the computed singular values of a real matrix, descending, and a bound on the error of each of them.

    By Weyl's inequality they are off by at most the distance of B from its computed decomposition, and by the largest
    value times the distance of the computed vectors from orthonormal ones.

    Examples
    --------
    >>> values, error = singular_values(np.diag([2.0, 1.0]))
    >>> bool(abs(values[1] - 1) <= error < 1e-14)
    True
    """
    U, s, Vt = np.linalg.svd(B, full_matrices=False)
    skew, top = defect_of_columns(U) + defect_of_columns(Vt.T), float(np.max(s, initial=0.0))
    apart = float(np.linalg.norm(B - (U * s) @ Vt)) * (1 + gamma(B.size + 2))
    formed = gamma(len(s) + 4) * float(np.linalg.norm(U)) * float(np.linalg.norm(Vt)) * top
    return s, rounded_up(apart + 1.01 * formed + 1.01 * skew * top) if skew < CROOKED else float("inf")


@dataclass(frozen=True)
class ProvedBlocks:
    """Bounds on a matrix S and on its blocks for p leading computed singular vectors and their complements.

    ``norm`` bounds ``‖S‖_op`` (or the largest eigenvalue, if positive), and ``rest`` does so for S between the
    orthogonal complements of the leading vectors. ``slack`` bounds the norms of ``S V − U s`` and ``U*S − s V*`` for
    the leading triplets.
    """

    norm: float
    rest: float
    slack: float

    @classmethod
    def from_triplets(cls, S: Array, U: Array, s: Array, V: Array, p: int, by_eigenvalue: bool = False) -> ProvedBlocks:
        """Return the bounds from all computed singular triplets.

        With ``by_eigenvalue``, V is U, and s holds all eigenvalues in descending order.

        The proof is in docs/theory/bounds.md. The bounds hold for any U, s and V; inaccurate triplets only make them
        larger.
        """
        is_complex = any(map(np.iscomplexobj, (S, U, V)))
        size = float(np.linalg.norm(S)) * (1 + gamma(S.size, is_complex))
        U1, V1, top = U[:, :p], V[:, :p], float(np.max(np.abs(s[:p]), initial=0.0))
        skew = max(defect_of_columns(U1), defect_of_columns(V1))
        if skew >= CROOKED:
            return cls(size, size, size)
        across, down = S.conj().T @ U1 - V1 * s[:p], S @ V1 - U1 * s[:p]
        formed = 1.01 * float(np.sqrt(1.5 * p)) * (gamma(max(S.shape) + 2, is_complex) * size + gamma(4) * top)
        sides = [float(np.linalg.norm(block)) * (1 + gamma(block.size)) + formed for block in (across, down)]
        inner = top + 1.01 * (skew * top + max(sides)) if p else 0.0
        if by_eigenvalue and p:
            inner = max(0.0, float(s[0]) + inner - top)
        shrink = 1 - skew
        across_norm, down_norm = (side / float(np.sqrt(shrink)) for side in sides)
        left = S - (U1 * s[:p]) @ V1.conj().T
        removed = 1.5 * gamma(p + 3, is_complex) * (size + 1.01 * spread(s[:p]))
        following = max(0.0, float(np.max(s[p:] if by_eigenvalue else np.abs(s[p:]), initial=0.0)))
        rest = norm_bound(left, following + removed, by_eigenvalue) + removed
        norm = norm_of_blocks(inner / shrink, across_norm, down_norm, rest)
        if by_eigenvalue:
            coupling = max(across_norm, down_norm)
            norm = norm_of_blocks(inner / shrink, coupling, coupling, rest, lopsided=True)
        return cls(rounded_up(norm, 16), rounded_up(rest, 16), rounded_up(max(sides), 16))


@dataclass(frozen=True, eq=False)
class Coupled:
    """Approximate singular triplets of a matrix S, and its products with them.

    Attributes
    ----------
    U, s, V : ndarray, shapes (d1, k), (k,), (d2, k)
        Nearly orthonormal columns, and values of any sign.
    SU, SV : ndarray, shapes (d2, k) and (d1, k)
        The products ``S* U`` and ``S V`` as they are computed.
    formed : float
        A bound on the rounding error of a product of S or S* with a unit vector.
    """

    U: Array
    s: Array
    V: Array
    SU: Array
    SV: Array
    formed: float

    @cached_property
    def skew(self) -> float:
        """A bound on ``‖U*U − I‖`` and ``‖V*V − I‖``."""
        return max(defect_of_columns(self.U), defect_of_columns(self.V))

    def apart(self, columns: slice) -> tuple[float, float]:
        """Return bounds on the norms of ``S* U − V s`` and ``S V − U s`` for some of the columns."""
        s, found = self.s[columns], []
        for product, F in ((self.SU, self.V), (self.SV, self.U)):
            product, F = product[:, columns], F[:, columns]
            lost = 1.01 * float(np.sqrt(len(s))) * self.formed + 4 * UNIT * float(np.linalg.norm(product))
            lost += 4 * UNIT * float(np.linalg.norm(s))
            found.append(float(np.linalg.norm(product - F * s)) * (1 + gamma(2 * F.size + 2)) + lost)
        return found[0], found[1]

    @cached_property
    def within(self) -> float:
        """A bound on ``‖U*(S V − U s)‖``."""
        left, k, is_complex = self.SV - self.U * self.s, len(self.s), np.iscomplexobj(self.U)
        found = float(np.linalg.norm(self.U.conj().T @ left)) * (1 + gamma(2 * k * k + 2))
        found += 1.01 * float(np.sqrt(k)) * gamma(len(left) + 2, is_complex) * float(np.linalg.norm(left))
        lost = float(np.sqrt(k)) * self.formed + 4 * UNIT * float(np.linalg.norm(self.SV))
        return found + 1.02 * (lost + 4 * UNIT * float(np.linalg.norm(self.s)))

    def blocks(self, rest: float, p: int, by_eigenvalue: bool = False) -> ProvedBlocks:
        """Return the bounds for the p leading triplets, from a bound on S between the complements of all columns.

        ``rest`` may be a bound for columns from which U and V follow by a product with a unitary matrix: rounding moves
        the projectors on their ranges by at most ``moved``. With ``by_eigenvalue``, V is U, p is k and ``rest`` bounds
        an eigenvalue. See docs/theory/bounds.md.
        """
        if self.skew >= CROOKED:
            return ProvedBlocks(math.inf, math.inf, math.inf)
        found = self._joined(rest, p, by_eigenvalue)
        size = max(found.norm, abs(rest), float(np.max(np.abs(self.s), initial=0.0)))
        moved = 2.1 * len(self.s) * gamma(len(self.s) + 2, np.iscomplexobj(self.U))
        return self._joined(rest + 2.1 * moved * size, p, by_eigenvalue)

    def _joined(self, rest: float, p: int, by_eigenvalue: bool) -> ProvedBlocks:
        skew, largest = self.skew, float(np.max(np.abs(self.s), initial=0.0))
        shrink, k = 1 - skew, len(self.s)
        lost, root = 1.01 * (skew * largest + self.within), float(np.sqrt(1 - skew))
        leading = self.apart(slice(p))
        if p < k:
            following = self.apart(slice(p, k))
            sides = [(own + 1.01 * skew * more) / root for own, more in zip(following, leading, strict=True)]
            inner = float(np.max(np.abs(self.s[p:]))) + lost
            rest = norm_of_blocks(inner / shrink, sides[0], sides[1], rest)
        across, down = (side / root for side in leading)
        if by_eigenvalue:
            inner = max(0.0, float(np.max(self.s, initial=0.0)) + lost) if p else 0.0
            across = down = max(across, down)
        else:
            inner = float(np.max(np.abs(self.s[:p]), initial=0.0)) + lost if p else 0.0
        norm = norm_of_blocks(inner / shrink, across, down, rest, lopsided=by_eigenvalue)
        return ProvedBlocks(rounded_up(norm, 16), rest + 16 * UNIT * abs(rest), rounded_up(max(leading), 16))


def norm_bound(D: Array, guess: float, by_eigenvalue: bool = False) -> float:
    """Return a number a little above ``guess`` that is proved to bound ``‖D‖_op``, or else a bound on ``‖D‖_F``.

    With ``by_eigenvalue`` the largest eigenvalue of the Hermitian D is bounded instead. ``c² I − D*D``, or ``c I − D``,
    is positive semidefinite if a Cholesky factorization succeeds after its backward error and that of the product are
    subtracted (Rump 2006: ``γ_{n+1}`` times the trace).
    """
    from scipy.linalg import lapack

    if D.shape[0] < D.shape[1]:
        D = D.conj().T
    (rows, n), is_complex, top = D.shape, np.iscomplexobj(D), float(np.max(np.abs(D), initial=0.0))
    if top == 0:
        return 0.0
    scale = 2.0 ** -max(-1000, math.frexp(top)[1])  # squares must not under- or overflow
    D, c = scale * D, scale * guess
    whole = rounded_up(float(np.linalg.norm(D)) * (1 + gamma(D.size, is_complex)))
    if c >= whole:
        return whole / scale
    factorize, step = lapack.zpotrf if is_complex else lapack.dpotrf, gamma(n + 4, is_complex)
    if by_eigenvalue:
        error = 1.1 * step * (n * c + float(np.sqrt(n)) * whole)
        shifted, c = -D, c + 2 * error
        shifted[np.diag_indices(n)] += c - error
    else:
        error = 1.1 * (gamma(rows + 4, is_complex) * whole**2 + step * (whole**2 + n * c**2))
        shifted, c = -(D.conj().T @ D), float(np.sqrt(c**2 + 4 * error))
        shifted[np.diag_indices(n)] += c**2 - 1.5 * error
    failed = factorize(shifted.T, lower=0, clean=0, overwrite_a=1)[1]
    return whole / scale if failed else rounded_up(c / scale)
