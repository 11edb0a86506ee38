"""Bounds on the share of a tangent space in hidden cells: the largest ``‖P_Ω H‖² / ‖H‖²`` over its elements H."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, rounded_up
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.linalg.krylov import largest_eigenvalue
from flatmin.proofs.rounding.leading_space import LeadingSpace

__all__ = ["HIDDEN_FAILURE", "PIECE", "hidden_share", "incoherence_bound", "row_pieces"]

#: Largest number of entries in a copy of a part of an array.
PIECE = 1 << 16
#: Largest probability that any of the bounds from random starts is wrong, for all cuts together.
HIDDEN_FAILURE = 2e-11
#: Number of random starts.
STARTS = 4
#: Largest number of Lanczos steps from each random start.
STEPS = 30
#: Key of a stream of random numbers that nothing else draws from.
STREAM = 0x68696464
#: Iterations stop once (1 − upper bound) ≥ SETTLED · (1 − Ritz value).
SETTLED = 0.7
#: Largest number of sums of products that are kept.
MOST_SUMS = 60_000_000


def incoherence_bound(hidden: Array, U: Array, V: Array) -> float:
    """Return a bound on ``‖P_Ω P_T‖²``, from the columns and the rows of Ω one by one (docs/theory/robust_pca.md).

    ``hidden`` (d1, d2) marks the cells of Ω, and T is the space ``{U Eᵀ + F Vᵀ}`` of orthonormal U (d1, q) and V (d2,
    q).
    """
    q = U.shape[1]
    if q * (q + 1) // 2 * sum(hidden.shape) > MOST_SUMS:
        return np.inf
    rows, cols = np.triu_indices(q)
    total = 0.0
    passes = RowPasses(hidden)
    for products, F, count in ((passes.adjoint_products, U, len(V)), (passes.products, V, len(U))):
        sums, largest = np.empty((count, len(rows))), 0.0
        for some in row_pieces(len(rows), len(F)):
            sums[:, some] = products(hidden, F[:, rows[some]] * F[:, cols[some]])
        for some in row_pieces(count, q * q):
            grams = np.zeros((some.stop - some.start, q, q))
            grams[:, rows, cols] = grams[:, cols, rows] = sums[some]
            largest = max(largest, _largest_eigenvalue(grams, terms=len(F) + 4))
        total += largest / max(UNIT, 1 - defect_of_columns(F))
    return rounded_up(total, 16)


def _largest_eigenvalue(grams: Array, terms: int) -> float:
    """Return a bound on the eigenvalues of all Gram matrices (n, q, q), whose entries are sums of so many products.

    A Cholesky factorization of ``μI − G`` succeeds only if ``μ + γ_{q+1} q μ`` is such a bound for the computed G, and
    ``γ tr G`` bounds the error of G.
    """
    q, trace = (
        int(grams.shape[-1]),
        float(np.max(np.trace(grams, axis1=1, axis2=2), initial=0.0)) * (1 + gamma(terms + 8)),
    )
    if not trace:
        return 0.0
    guess: float = float(np.linalg.eigvalsh(grams).max()) * (1 + 1e-12 * q) + UNIT * trace
    try:
        np.linalg.cholesky(guess * np.eye(q) - grams)
    except np.linalg.LinAlgError:
        return float(trace)
    return float(guess) * (1 + 1.01 * (q + 1) * gamma(q + 8)) + 1.01 * gamma(terms) * trace


def row_pieces(count: int, width: int) -> Iterator[slice]:
    """Give ranges of rows with at most `PIECE` entries."""
    step = max(1, PIECE // max(1, width))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def hidden_share(hidden: Array, U: Array, V: Array, stream: tuple[int, int] = (0, 0)) -> float:
    """Return a bound on ``‖P_Ω P_T‖²``, for Ω and T as in `incoherence_bound`, from random starts for ``P_T P_Ω P_T``.

    The ``stream`` is a pair of a seed and a number k. The bound is wrong with probability at most
    ``HIDDEN_FAILURE / 2^(k+1)``. Nothing else draws from this stream of random numbers, so that Ω and T do not depend
    on the starts.
    """
    (d1, d2), q = hidden.shape, U.shape[1]
    passes = RowPasses(hidden)

    def pack(E: Array, F: Array) -> Array:
        return np.concatenate([E.ravel(), (F - U @ (U.T @ F)).ravel()])

    def seen_through(x: Array) -> Array:
        E, F = x[: d2 * q].reshape(d2, q), x[d2 * q :].reshape(d1, q)
        GV, GtU = passes.masked(np.hstack([U, F]), np.hstack([E, V]), hidden, U, V)
        return pack(GtU, GV)

    def apply(X: Array) -> Array:
        return np.stack([seen_through(x) for x in X.T], axis=1)

    found = largest_eigenvalue(
        apply,
        np.stack([pack(*start) for start in _starts(hidden.shape, q, stream)], axis=1),
        dimension=q * (d1 + d2 - q),
        failure=HIDDEN_FAILURE / 2 ** (stream[1] + 1),
        rounding=_rounding(U, V),
        steps=STEPS,
        enough=lambda reached, upper: 1 - upper >= SETTLED * (1 - reached),
    )
    return rounded_up(float(found.upper))


def _starts(shape: tuple[int, int], q: int, stream: tuple[int, int]) -> list[tuple[Array, Array]]:
    """Return standard normal (E, F) from a separate stream."""
    rng = np.random.default_rng(np.random.SeedSequence(stream[0], spawn_key=(STREAM, stream[1])))
    return [(rng.standard_normal((shape[1], q)), rng.standard_normal((shape[0], q))) for _ in range(STARTS)]


def _rounding(U: Array, V: Array) -> float:
    """Return a bound on the error of ``P_T P_Ω P_T H``, ‖H‖ = 1, from the lengths of sums and the skew of columns."""
    (d1, q), d2 = U.shape, len(V)
    return math.sqrt(q) * gamma(2 * d1 + d2 + 5 * q + 8) + 6 * LeadingSpace(U, V).skew
