"""Upper bounds on the norm of a dual matrix, either rigorous or holding with a stated probability.

A Lanczos iteration bounds an operator norm from below, so it only chooses a subspace (`subspaces.py`). The bound is
proved by a dense decomposition or by a Cholesky factorization (`factorizations.py`), or it follows from random starts
that are independent of the matrix (`random_starts.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.decompositions import Coupled, ProvedBlocks, leading_count
from flatmin.linalg.effort import LARGEST_DENSE, Effort, ExhaustedError
from flatmin.linalg.factorizations import complement_below
from flatmin.linalg.forward_error import UNIT, defect_of_columns, rounded_up
from flatmin.linalg.random_starts import (
    FAILURE,
    SETTLED,
    complement_norm_bound,
    extreme_eigenvalue_bound,
    product_rounding,
    stored_entries,
)
from flatmin.linalg.subspaces import (
    ACCURATE,
    DENSE,
    EDGE,
    LARGEST_HERMITIAN,
    MANY_COLUMNS,
    MOST_TRIPLETS,
    adjoint_of,
    as_array,
    block_norm,
    couplings,
    deflate,
    extended_subspaces,
    leading_eigenpairs,
    leading_subspaces,
    refined_subspaces,
)

__all__ = ["FACTORED", "TopSpectrum", "hermitian_spectrum", "top_spectrum"]

#: Smaller dimension up to which a Cholesky factorization proves the bound, since it takes little time.
FACTORED = 2000
#: If a Cholesky factorization follows, random starts stop once (1 − upper bound) ≥ ROUGHLY · (1 − Ritz value).
ROUGHLY = 0.3
#: Smaller dimension up to which a factorization replaces random bounds that are loose or not accepted. Factorizations
#: of larger matrices need much memory.
CHOLESKY = 8000
#: Inaccurate singular vectors are kept if they increase the bound on the norm by at most this.
HARMLESS = 3e-8
#: A matrix whose first block row and first block column have norms of at most one, and whose other block is zero, has
#: at most this norm: 2/√3, rounded up.
COUPLED = 1.1548
#: Largest number of searches for further leading singular values.
ATTEMPTS = 6


@dataclass(frozen=True, eq=False)
class TopSpectrum:
    """The leading singular triplets of a matrix S, with bounds on its norm and on the norm of the remainder.

    Attributes
    ----------
    U, values, V : ndarray, shapes (d1, p), (p,), (d2, p)
        Leading singular triplets, largest first: those whose singular value is about one or more.
    norm, rest : float
        Upper bounds on ``‖S‖_op``, and on the norm of S between the orthogonal complements of U and V.
    kind, failure : str and float
        ``kind`` is the kind of proof: "dense", "cholesky", "proven" (by a formula), "probabilistic", or "estimated" (no
        proof). ``failure`` is the probability, over the random starts, that the bounds are wrong.
    slack : float
        Norm of the blocks of S between the triplets and the remainder, which bounds the error of the values.
    """

    U: Array
    values: Array
    V: Array
    norm: float
    rest: float
    kind: str
    slack: float = 0.0
    failure: float = 0.0

    def scaled(self, c: float) -> TopSpectrum:
        """Return the spectrum of ``c · S``."""
        slack = c * (self.slack + 8 * UNIT * self.norm)
        return replace(self, values=c * self.values, norm=c * self.norm, rest=c * self.rest, slack=slack)

    def widened(self, error: float) -> TopSpectrum:
        """Return bounds that hold for every matrix ``S + E`` with ``‖E‖_op ≤ error``."""
        return replace(self, norm=self.norm + error, slack=self.slack + error)

    @cached_property
    def coupling(self) -> float:
        """A bound on ``‖S V − U s‖`` and ``‖S* U − V s‖`` for the orthonormal U and V nearest to the stored ones."""
        skew = defect_of_columns(self.U) + defect_of_columns(self.V)
        return rounded_up(self.slack + skew * max(self.norm, float(np.max(np.abs(self.values), initial=0.0))))

    def below(self, q: int) -> float:
        """Return an upper bound on the norm of S outside the q leading triplets (docs/theory/bounds.md)."""
        following = float(self.values[q]) if q < len(self.values) else 0.0
        return rounded_up(max(following, self.rest) + COUPLED * self.coupling)


def top_spectrum(S: Any, U: Array, V: Array, *, unit: float, seed: int = 0, randomized: bool = True) -> TopSpectrum:
    """Bound the norm of S, and its norm on the complements of the singular vectors whose value exceeds ``unit``.

    Parameters
    ----------
    S : ndarray or sparse array, shape (d1, d2)
        The matrix.
    U, V : ndarray, shapes (d1, k) and (d2, k)
        Orthonormal guesses of leading singular vectors. A poor guess makes the bound larger, but never wrong.
    unit : float
        Singular values above this one belong to the leading part. If it is infinite, the norm is bounded without a
        search for leading singular vectors, and the triplets are those of the guesses.
    seed : int
        Seed of the iterations that choose a subspace and of the random starts that bound a norm.
    randomized : bool
        Whether to accept bounds that fail with a small probability. Otherwise matrices up to the size `CHOLESKY` are
        factorized, and nothing is proved for larger ones.
    """
    d1, d2 = S.shape
    if hasattr(S, "tocsr"):
        seen = [np.flatnonzero(stored_entries(S, axis)) for axis in (0, 1)]
        if (len(seen[0]), len(seen[1])) != S.shape and min(map(len, seen)) > 0:
            inner = S.tocsr()[seen[0]][:, seen[1]]
            found = top_spectrum(inner, U[seen[0]], V[seen[1]], unit=unit, seed=seed, randomized=randomized)
            return replace(found, U=_padded(found.U, seen[0], d1), V=_padded(found.V, seen[1], d2))
    if not np.any(S.data if hasattr(S, "tocsr") else S):
        return TopSpectrum(U, np.zeros(U.shape[1]), V, 0.0, 0.0, "dense")
    if min(d1, d2) <= DENSE * (1 + isinstance(S, np.ndarray)) and d1 * d2 <= LARGEST_DENSE:
        return _from_all_triplets(S, U.shape[1], unit)
    try:
        return _bounded(S, np.linalg.qr(U)[0], np.linalg.qr(V)[0], unit, seed, randomized)
    except ExhaustedError:
        return _from_all_triplets(S, U.shape[1], unit)


def hermitian_spectrum(
    S: Any, U: Array, *, unit: float, seed: int = 0, by_size: bool = False, randomized: bool = True
) -> TopSpectrum:
    """Bound the largest eigenvalue of a Hermitian S, which is the largest ``⟨Z, S⟩ / tr Z`` over all Z ⪰ 0.

    With ``by_size`` the operator norm, the largest absolute eigenvalue, is bounded instead. Small matrices are
    decomposed. For larger matrices, and for operators that are known only by their products, the bound follows from
    random starts. In the result V equals U; with ``by_size``, each column of V is that of U times the sign of its
    eigenvalue. The other arguments are those of `top_spectrum`.
    """
    if S.shape[0] > LARGEST_HERMITIAN:
        try:
            found = _likely_hermitian(S, np.linalg.qr(U)[0], unit, seed, by_size)
            return found if randomized else replace(found, kind="estimated", failure=0.0)
        except ExhaustedError:
            pass
    dense = as_array(S)
    values, Q = leading_eigenpairs(dense, len(dense), seed, by_size)
    signs = np.where(values < 0, -1.0, 1.0) if by_size else np.ones(len(values))
    values = values * signs
    p = leading_count(values, U.shape[1], unit)
    return _decomposed((dense + dense.conj().T) / 2, Q, values, Q * signs, p, by_eigenvalue=not by_size)


def _from_all_triplets(S: Any, given: int, unit: float) -> TopSpectrum:
    """Return the bounds that a singular value decomposition of the whole matrix proves."""
    dense = as_array(S)
    left, s, right = np.linalg.svd(dense, full_matrices=False)
    return _decomposed(dense, left, s, right.conj().T, leading_count(s, given, unit))


def _decomposed(S: Array, U: Array, s: Array, V: Array, p: int, by_eigenvalue: bool = False) -> TopSpectrum:
    """Return the p leading of all singular triplets (or eigenpairs), with the bounds that all of them prove."""
    found = ProvedBlocks.from_triplets(S, U, s, V, p, by_eigenvalue)
    return TopSpectrum(U[:, :p], s[:p], V[:, :p], found.norm, found.rest, "dense", found.slack)


def _likely_hermitian(S: Any, Q: Array, unit: float, seed: int, by_size: bool) -> TopSpectrum:
    """Bound the largest eigenvalue by blocks: by a decomposition on Q, and by random starts on its complement.

    Raise `ExhaustedError` if that takes longer than a decomposition of S.
    """
    given, effort = Q.shape[1], Effort.before_eigenpairs(S)
    for attempt in range(ATTEMPTS):
        SQ = S @ Q
        inner = Q.conj().T @ SQ
        slack = float(np.linalg.norm(SQ - Q @ inner))
        if slack > ACCURATE and attempt == 0 and given:
            Q = np.linalg.qr(leading_eigenpairs(S, given, seed, by_size, 1e-9, effort)[1])[0]
            continue
        scale = max(1.0, float(np.linalg.norm(inner, 2))) if Q.shape[1] else 1.0
        floor = scale * min(unit, EDGE)
        ends = [
            extreme_eigenvalue_bound(S, Q, sign, scale, floor, (seed, 2 * attempt + i), effort)
            for i, sign in enumerate((1.0, -1.0))
        ]
        rest, reached = np.max(ends if by_size else ends[:1], axis=0)
        if reached <= floor or Q.shape[1] >= min(MOST_TRIPLETS, len(Q)):
            break
        values, found = leading_eigenpairs(deflate(S, Q, Q), 4 * 2**attempt, seed + attempt, by_size, 1e-9, effort)
        new = (np.abs(values) if by_size else values) > floor
        Q = np.linalg.qr(np.hstack([Q, found[:, new]]))[0]
    values, turn = np.linalg.eigh((inner + inner.conj().T) / 2)
    signs = np.where(values < 0, -1.0, 1.0) if by_size else np.ones(len(values))
    values = values * signs
    order = np.argsort(-values, kind="stable")
    Q, values, signs = Q[:, : len(turn)] @ turn[:, order], values[order], signs[order]
    SQ, formed, p = S @ Q, product_rounding(S, 0, scale), len(values)
    near = Coupled(Q, values, Q * signs, SQ, SQ * signs, formed)
    proved = near.blocks(float(rest), p, by_eigenvalue=not by_size)
    return TopSpectrum(Q, values, Q * signs, max(0.0, proved.norm), proved.rest, "probabilistic", proved.slack, FAILURE)


def _padded(U: Array, rows: Array, length: int) -> Array:
    """Return U with its rows at the positions ``rows`` of a taller array of zeros."""
    out = np.zeros((length, U.shape[1]))
    out[rows] = U
    return out


def _bounded(S: Any, U: Array, V: Array, unit: float, seed: int, randomized: bool) -> TopSpectrum:
    """Bound the norm by blocks: by a decomposition between U and V, by random starts or Cholesky elsewhere."""
    found = _searched(S, U, V, unit, seed)
    U, V, (UtS, SV, inner, _), rest = found.U, found.V, found.parts, found.upper
    kind, failure, smaller = "probabilistic", FAILURE, min(S.shape)
    if smaller <= FACTORED or (smaller <= CHOLESKY and not (randomized and rest < found.scale)):
        proved = complement_below(S, U, V, UtS, SV, found.guesses)
        if proved is not None:
            rest, kind, failure = proved, "cholesky", 0.0
        elif smaller <= FACTORED:  # a true bound from random starts would have been easy to prove
            kind, failure = "estimated", 0.0
    if kind == "probabilistic" and not randomized:
        kind, failure = "estimated", 0.0
    left, s, right = np.linalg.svd(inner)
    U, V = U @ left, V @ right.conj().T
    top = max(min(found.given, len(s)), int(np.count_nonzero(s > unit * max(1.0, s.max(initial=0.0)))))
    formed = product_rounding(S, 0, max(1.0, float(s.max(initial=0.0))))
    near = Coupled(U, s, V, adjoint_of(S) @ U, S @ V, formed)
    blocks = near.blocks(rest, top)
    return TopSpectrum(U[:, :top], s[:top], V[:, :top], blocks.norm, blocks.rest, kind, blocks.slack, failure)


@dataclass(frozen=True, eq=False)
class _Search:
    """Singular subspaces of S, their `couplings`, and random bounds on the norm between their complements."""

    U: Array
    V: Array
    parts: tuple[Array, Array, Array, Array]
    scale: float
    reached: float
    upper: float
    given: int

    @property
    def guesses(self) -> list[float]:
        """Return bounds for a factorization to prove, in the order in which to try them."""
        room = max(abs(self.scale - self.reached), 1e-9)
        nearer = [self.reached + share * room for share in (0.3, 0.6, 1.0)]
        beyond = [max(self.reached, self.scale) + excess for excess in (1e-9, 1e-8, 1e-7)]
        if self.upper < self.scale:
            return [min(nearer[0], self.upper), self.upper, *beyond]
        return [*nearer, *beyond, *([self.upper] if np.isfinite(self.upper) else [])]


def _searched(S: Any, U: Array, V: Array, unit: float, seed: int) -> _Search:
    """Return subspaces with all singular values near one that random starts reveal, and bounds on the remainder."""
    given, largest, effort = U.shape[1], np.inf, Effort.before_triplets(S)
    for attempt in range(ATTEMPTS):
        U, V, parts = refined_subspaces(S, U, V) if largest > unit else (U, V, couplings(S, U, V))
        inaccurate = bool(largest > unit and U.shape[1] and max(parts[3]) > ACCURATE)
        if inaccurate and U.shape[1] < MANY_COLUMNS:
            U, V, parts = leading_subspaces(S, U.shape[1] + 1, seed + attempt)
            inaccurate = False
        scale, floor, upper, reached = _bounded_complement(S, U, V, parts, unit, (seed, 2 * attempt))
        if inaccurate and block_norm(parts[2], parts[3], reached) - scale > HARMLESS:
            U, V, parts = leading_subspaces(S, U.shape[1] + 1, seed + attempt)
            scale, floor, upper, reached = _bounded_complement(S, U, V, parts, unit, (seed, 2 * attempt + 1))
        found = _Search(U, V, parts, scale, reached, upper, given)
        if reached <= floor or U.shape[1] >= min(MOST_TRIPLETS, min(S.shape)):
            break
        U, V, largest = extended_subspaces(S, U, V, unit, floor, seed + attempt, effort)
    return found


def _bounded_complement(
    S: Any, U: Array, V: Array, parts: tuple[Array, Array, Array, Array], unit: float, stream: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return the scale of S, the smallest singular value of interest, and the result of `complement_norm_bound`."""
    scale = max(1.0, float(np.linalg.norm(parts[2], 2))) if U.shape[1] else 1.0
    floor = scale * min(unit, EDGE) if np.isfinite(unit) else np.inf
    settled = ROUGHLY if min(S.shape) <= FACTORED else SETTLED
    return scale, floor, *complement_norm_bound(S, U, V, parts[0], parts[1], scale, floor, stream, settled)
