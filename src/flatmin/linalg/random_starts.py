"""Upper bounds on norms from randomly started iterations, valid with a stated probability."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.effort import Effort
from flatmin.linalg.forward_error import defect_of_columns, gamma
from flatmin.linalg.krylov import RandomBound, largest_eigenvalue
from flatmin.linalg.subspaces import EPS, adjoint_of

__all__ = [
    "FAILURE",
    "OPERATOR_ROUNDING",
    "complement_norm_bound",
    "extreme_eigenvalue_bound",
    "normal_starts",
    "product_rounding",
    "starts_at_once",
    "stored_entries",
]

#: Probability that the bound of a norm, or of a margin, fails. The k-th attempt may fail with ``2^-(k+1)`` times this.
FAILURE = 2e-11
#: Iterations stop once (1 − upper bound) ≥ SETTLED · (1 − Ritz value).
SETTLED = 0.7
#: If the norm exceeds the scale, iterations stop once EXCESS · (upper bound − scale) ≤ Ritz value − scale.
EXCESS = 0.9
#: Largest number of steps of an iteration.
STEPS = 150
#: Number of stored entries of a sparse array that are read at once, if it has no more columns.
PIECE = 1 << 14
#: Number of random starts for a matrix. A sparse product with eight vectors costs about the same as with three.
STARTS = 8
#: Number of random starts for an operator that is known by its products only.
STARTS_OF_OPERATOR = 2
#: Assumed relative error of the products of an operator that is known by its products only.
OPERATOR_ROUNDING = 1e3 * EPS
#: Key of the stream of random numbers for the starts. Nothing else uses this stream.
STREAM = 0x6E6F726D


def extreme_eigenvalue_bound(
    S: Any, Q: Array, sign: float, scale: float, floor: float, stream: tuple[int, int], effort: Effort | None = None
) -> tuple[float, float]:
    """Return an upper bound on the largest eigenvalue of ``sign · S`` on the complement of Q, and a Ritz value."""

    def apply(X: Array) -> Array:
        if effort is not None:
            effort.spend(X.shape[1])
        X = X - Q @ (Q.conj().T @ X)
        X = sign * (S @ X)
        return np.asarray(X - Q @ (Q.conj().T @ X))

    def enough(reached: float, upper: float) -> bool:
        return reached > floor or scale - upper >= SETTLED * (scale - reached)

    rounding = product_rounding(S, Q.shape[1], scale, skew=defect_of_columns(Q))
    found = _bound_on_complement(apply, S, Q, rounding, stream, enough)
    return found.upper, found.reached


def complement_norm_bound(
    S: Any,
    U: Array,
    V: Array,
    UtS: Array,
    SV: Array,
    scale: float,
    floor: float,
    stream: tuple[int, int],
    settled: float = SETTLED,
) -> tuple[float, float]:
    """Return an upper and a lower bound on the norm of ``R = (I − UU*) S (I − VV*)`` from random starts for R*R.

    Nothing else draws from the stream of the starts. Therefore a dual vector does not depend on the starts, even if it
    was computed with the same seed.
    """
    if S.shape[0] < S.shape[1]:
        S, U, V, UtS = adjoint_of(S), V, U, SV.conj().T
    adjoint, n = adjoint_of(S), S.shape[1] - V.shape[1]
    if n <= 0:
        return 0.0, 0.0

    def square(X: Array) -> Array:
        X = X - V @ (V.conj().T @ X)
        X = adjoint @ (S @ X - U @ (UtS @ X))
        return np.asarray(X - V @ (V.conj().T @ X))

    def enough(reached: float, upper: float) -> bool:
        reached, upper = (float(np.sqrt(max(0.0, x))) for x in (reached, upper))
        if reached > scale and EXCESS * (upper - scale) <= reached - scale:
            return True
        return reached > floor or scale - upper >= settled * (scale - reached)

    skew = max(defect_of_columns(U), defect_of_columns(V))
    rounding = product_rounding(S, U.shape[1], scale, twice=True, skew=skew)
    found = _bound_on_complement(square, S, V, rounding, stream, enough)
    return float(np.sqrt(max(0.0, found.upper))) * (1 + 4 * EPS), float(np.sqrt(max(0.0, found.reached)))


def _bound_on_complement(
    apply: Callable[[Array], Array],
    S: Any,
    known: Array,
    rounding: float,
    stream: tuple[int, int],
    enough: Callable[[float, float], bool],
) -> RandomBound:
    """Return the bound from one stream of starts on the complement of known columns; it may fail as `FAILURE` says."""
    starts = normal_starts(S, starts_at_once(S), stream)
    starts -= known @ (known.conj().T @ starts)
    dimension, failure = len(known) - known.shape[1], FAILURE / 2 ** (stream[1] + 1)
    options: dict[str, Any] = {"dimension": dimension, "failure": failure, "rounding": rounding, "steps": STEPS}
    return largest_eigenvalue(apply, starts, enough=enough, **options)


def normal_starts(S: Any, count: int, stream: tuple[int, int]) -> Array:
    """Return standard normal columns for S, complex if S is complex, from a stream that nothing else uses."""
    rng = np.random.default_rng(np.random.SeedSequence(stream[0], spawn_key=(STREAM, stream[1])))
    starts = rng.standard_normal((S.shape[1], count))
    if np.issubdtype(S.dtype, np.complexfloating):
        return starts + 1j * rng.standard_normal(starts.shape)
    return starts


def starts_at_once(S: Any) -> int:
    """Return the number of random starts for S."""
    return STARTS if isinstance(S, np.ndarray) or hasattr(S, "tocsr") else STARTS_OF_OPERATOR


def product_rounding(
    S: Any, p: int, scale: float, twice: bool = False, skew: float = 0.0, additions: int | None = None
) -> float:
    """Return a bound on the rounding error of ``R x`` for a unit vector x, or of ``R*R x`` if ``twice``.

    Here ``R = (I − P) S (I − P')``, and P and P' project on the ranges of U and V, which have p columns. ``skew``
    bounds ``‖U*U − I‖`` and ``‖V*V − I‖``. If S is an operator, ``scale`` stands for its norm. It states the
    ``rounding`` of its products, or they are assumed to have the relative error `OPERATOR_ROUNDING`; ``additions`` is
    the number of additions in its projections, if they are formed by `pieces`. See docs/theory/bounds.md.
    """
    if hasattr(S, "rounding") and not twice:
        projections = 4.1 * p * gamma((additions or S.shape[0]) + p + 4, True)
        return float(S.rounding) + (projections + 3.1 * skew) * scale
    if not (isinstance(S, np.ndarray) or hasattr(S, "tocsr")):
        return (OPERATOR_ROUNDING + 3.1 * skew) * scale ** (1 + twice)
    if hasattr(S, "tocsr"):
        sums, terms, square = _sparse_sizes(S)
    else:
        sizes = np.abs(S)
        sums, terms = [float(np.max(sizes.sum(axis=axis), initial=0.0)) for axis in (0, 1)], list(S.shape)
        square = float(np.vdot(sizes, sizes))
    size = min(float(np.prod(sums)), square) ** (0.5 + 0.5 * twice)
    coarser = float(np.finfo(S.dtype).eps) / EPS if np.issubdtype(S.dtype, np.inexact) else 1.0
    steps = gamma(sum(terms) + 3 * p * (sum(S.shape) + p) + 16, np.issubdtype(S.dtype, np.complexfloating))
    return float(size) * (1.01 * coarser * steps + 3.1 * skew)


def _sparse_sizes(S: Any) -> tuple[list[float], list[int], float]:
    """Return the largest row and column sums of ``|S|``, the largest row and column counts, and ``‖S‖_F²``."""
    M = S if S.format == "csr" else S.T if S.format == "csc" else S.tocsr()
    across, terms = np.zeros(M.shape[1]), np.zeros(M.shape[1], np.int64)
    down, start, piece = 0.0, 0, max(PIECE, M.shape[1])  # every piece costs as many operations as there are columns
    while start < M.shape[0]:
        stop = max(start + 1, int(np.searchsorted(M.indptr, M.indptr[start] + piece, side="right")) - 1)
        first, last = int(M.indptr[start]), int(M.indptr[stop])
        sizes, columns = np.abs(M.data[first:last]), M.indices[first:last]
        own = np.repeat(np.arange(stop - start), np.diff(M.indptr[start : stop + 1]))
        down = max(down, float(np.bincount(own, sizes, stop - start).max()))
        across += np.bincount(columns, sizes, M.shape[1])
        terms += np.bincount(columns, minlength=M.shape[1])
        start = stop
    counts = [int(np.diff(M.indptr).max(initial=0)), int(terms.max(initial=0))]
    square = float(np.vdot(M.data, M.data).real) if M.has_canonical_format else np.inf
    return [down, float(across.max(initial=0.0))], counts, square


def stored_entries(S: Any, axis: int) -> Array:
    """Return the number of stored entries in every row (axis 0) or column (axis 1) of a sparse array."""
    if S.format not in ("csr", "csc"):
        S = S.tocsr()
    if (S.format == "csr") == (axis == 0):
        return np.diff(S.indptr)
    return np.bincount(S.indices, minlength=S.shape[axis])
