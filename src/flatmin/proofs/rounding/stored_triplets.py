"""The distance of a whitened solution from its singular triplets as they are stored."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import defect_of_columns, gamma, rounded_up
from flatmin.linalg.metric import Metric
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["distance_from_triplets", "turned"]

#: Number of entries up to which two products are compared entry by entry.
WHOLE = 1_000_000


def distance_from_triplets(point: WhitenedSolution, rank: int) -> float:
    """Return a bound on ``‖Z − U s V*‖_*`` for the exact Z of a solution and its ``rank`` leading stored triplets.

    X is compared with ``W1 U s V* W2*`` for the stored whitenings W1 and W2. For a singular metric the bound includes
    the part of X that the metric does not see, divided by the norms of W1 and W2 (docs/theory/uniqueness.md).
    """
    (U, s, V), (L, R), is_complex = point.Z, point.pair, point.is_complex
    inner = (U * np.sqrt(s), V * np.sqrt(s))
    lifted = [_whitened(D, F) for D, F in zip(point.metric, inner, strict=True)]
    (P, Q), errors = (F for F, _ in lifted), [error for _, error in lifted]
    sizes = [float(np.linalg.norm(F)) for F in (P, Q)]
    apart = _apart((L, R), (P, Q), is_complex)
    rounding = errors[0] * sizes[1] + errors[1] * (sizes[0] + errors[0])
    width = float(np.sqrt(min(L.shape[1] + len(s), *point.whitened.shape)))
    found = point.metric[0].unwhitening_norm * point.metric[1].unwhitening_norm * width * (apart + rounding)
    lost = np.prod([1 + (0.0 if D.is_whole else D.inverse_defect) for D in point.metric]) - 1
    lengths = np.linalg.norm(U, axis=0) * np.linalg.norm(V, axis=0) * s
    found += float(lengths[rank:].sum()) + float(lost) * float(lengths.sum())
    return rounded_up(found * (1 + gamma(2 * len(s) + 64)))


def _apart(first: tuple[Array, Array], second: tuple[Array, Array], is_complex: bool) -> float:
    """Return a bound on ``‖L R* − P Q*‖_F``; large products are compared in a basis of the columns of their factors."""
    if len(first[0]) * len(first[1]) <= WHOLE:
        off = np.linalg.norm(first[0] @ first[1].conj().T - second[0] @ second[1].conj().T)
        sizes = [float(np.linalg.norm(F)) for F in (*first, *second)]
        rounding = [gamma(pair[0].shape[1] + more, is_complex) for pair, more in ((first, 4), (second, 8))]
        rounding = rounding[0] * sizes[0] * sizes[1] + rounding[1] * sizes[2] * sizes[3]
        return (float(off) + rounding) * (1 + gamma(len(first[0]) * len(first[1]) + 8))
    (E, A, off), (G, C, out) = (_in_common_basis(F, H, is_complex) for F, H in zip(first, second, strict=True))
    k = first[0].shape[1]
    core = A[:, :k] @ C[:, :k].conj().T - A[:, k:] @ C[:, k:].conj().T
    found = float(np.linalg.norm(core) * np.sqrt((1 + defect_of_columns(E)) * (1 + defect_of_columns(G))))
    for i, part in enumerate((slice(k), slice(k, None))):
        left, right = float(np.linalg.norm(A[:, part])), float(np.linalg.norm(C[:, part]))
        found += 2 * gamma(A.shape[1] + 4, is_complex) * left * right
        found += off[i] * float(np.linalg.norm((first, second)[i][1])) + (2 * left + off[i]) * out[i]
    return found * (1 + gamma(max(len(E), len(G)) + A.size + C.size + 64))


def _in_common_basis(F: Array, H: Array, is_complex: bool) -> tuple[Array, Array, tuple[float, float]]:
    """Return E and A with ``[F, H] ≈ E A``, and bounds on the errors of both parts; E is almost orthonormal."""
    E, A = np.linalg.qr(np.hstack([F, H]))
    off, k, reach = [], F.shape[1], float(np.linalg.norm(E))
    for X, inner in ((F, A[:, :k]), (H, A[:, k:])):
        rounding = gamma(len(A) + 4, is_complex) * (float(np.linalg.norm(X)) + reach * float(np.linalg.norm(inner)))
        off.append(float(np.linalg.norm(X - E @ inner)) + rounding)
    return E, A, (off[0], off[1])


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
