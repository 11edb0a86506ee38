"""The distance of a whitened solution from its singular triplets as they are stored."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import defect_of_columns, gamma, rounded_up
from flatmin.linalg.metric import Metric
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["distance_from_triplets", "turned"]

#: Number of entries of two products that are compared at once.
BLOCK = 1_000_000
#: Number of entries up to which products are compared entry by entry. This is slower for larger products, but the error
#: bound is a fifth as large.
FEW_ENTRIES = 20_000_000


def distance_from_triplets(point: WhitenedSolution, rank: int) -> float:
    """Return a bound on ``‖Z − U s V*‖_*`` for the exact Z of a solution and its ``rank`` leading stored triplets.

    X is compared with ``W1 U s V* W2*`` for the stored whitenings W1 and W2. For a singular metric the bound includes
    the part of X that the metric does not see, divided by the norms of W1 and W2 (docs/theory/uniqueness.md).
    """
    (U, s, V), (L, R), is_complex = point.Z, point.pair, point.is_complex
    inner = (U * np.sqrt(s), V * np.sqrt(s))
    lifted = [_whitened(D, F) for D, F in zip(point.metric, inner, strict=True)]
    (P, Q), errors = (F for F, _ in lifted), [error for _, error in lifted]
    sizes = [float(np.linalg.norm(F)) for F in (L, R, P, Q)]
    rounding = gamma(4, is_complex) * sizes[2] * sizes[3]  # of the roots
    rounding += errors[0] * sizes[3] + errors[1] * (sizes[2] + errors[0])
    apart = _apart((L, R), (P, Q), is_complex)
    width = float(np.sqrt(min(L.shape[1] + len(s), *point.whitened.shape)))
    found = point.metric[0].unwhitening_norm * point.metric[1].unwhitening_norm * width * (apart + rounding)
    lost = np.prod([1 + (0.0 if D.is_whole else D.inverse_defect) for D in point.metric]) - 1
    lengths = np.linalg.norm(U, axis=0) * np.linalg.norm(V, axis=0) * s
    found += float(lengths[rank:].sum()) + float(lost) * float(lengths.sum())
    return rounded_up(found * (1 + gamma(2 * len(s) + 64)))


def _apart(first: tuple[Array, Array], second: tuple[Array, Array], is_complex: bool) -> float:
    """Return a bound on ``‖L R* − P Q*‖_F``, rounding counted; it takes time linear in the rows of large factors.

    With any matrix B and triangle T near ``[R, Q] = B T``, the difference is ``([L, −P] T*) B* + [L, −P] E*`` for the
    error ``E = [R, Q] − B T``. Only the norms of B and E count, so B need not be orthonormal.
    """
    (L, R), (P, Q) = first, second
    if len(L) * len(R) <= FEW_ENTRIES:
        rows = max(1, BLOCK // len(R))
        blocks = (slice(start, start + rows) for start in range(0, len(L), rows))
        found = float(np.linalg.norm([np.linalg.norm(L[i] @ R.conj().T - P[i] @ Q.conj().T) for i in blocks]))
        for F, G in (first, second):
            rounding = gamma(F.shape[1] + 4, is_complex)
            found += rounding * float(np.linalg.norm(F)) * float(np.linalg.norm(G))
        return found * (1 + gamma(len(L) * len(R)))
    left, right = np.hstack([L, -P]), np.hstack([R, Q])
    B, T = np.linalg.qr(right)
    sums = gamma(left.shape[1] + 2, is_complex)
    size, length, triangle, square = (float(np.linalg.norm(F)) for F in (left, B, T, left @ T.conj().T))
    error = float(np.linalg.norm(right - B @ T)) + sums * (length * triangle + float(np.linalg.norm(right)))
    stretch = 1 + defect_of_columns(B)  # at least the norm of B
    return (stretch * (square + sums * size * triangle) + size * error) * (1 + 2 * gamma(left.size + right.size))


def turned(metric: tuple[Metric, Metric]) -> float:
    """Return a bound on the rounding errors of vectors in bases of the ranges of singular metrics, relative."""
    return sum(0.0 if D.range is None else 2 * D.skew + gamma(4 * len(D.values)) for D in metric)


def _whitened(D: Metric, F: Array) -> tuple[Array, float]:
    """Return ``W F``, for F in coordinates of all rows, and a bound on its error."""
    W = D.whitening
    if W.ndim == 1:
        found = W[:, None] * F
        return found, gamma(2) * float(np.linalg.norm(found))
    turn = D.range
    inner = F if turn is None else turn.conj().T @ F
    sizes = np.abs(W) @ (np.abs(F) if turn is None else np.abs(turn).T @ np.abs(F))
    is_complex = np.iscomplexobj(W) or np.iscomplexobj(F)
    return W @ inner, 1.01 * gamma(2 * len(F) + 4, is_complex) * float(np.linalg.norm(sizes))
