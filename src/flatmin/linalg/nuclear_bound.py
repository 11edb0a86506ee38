"""An upper bound on the nuclear norm of a whitened product of factors, from an approximate decomposition of it."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import defect_of_columns, gamma, spread
from flatmin.linalg.metric import Metric

__all__ = ["nuclear_bound"]


def nuclear_bound(metric: tuple[Metric, Metric], pair: tuple[Array, Array], Z: tuple[Array, Array, Array]) -> float:
    """Return an upper bound on ``‖C1 L R* C2*‖_*``, rounding errors included, for `Metric.coordinates` C1 and C2.

    With ``P = C1 L = U a + δ`` and ``Q = C2 R = V b + ε`` the nuclear norm is at most ``‖U‖ ‖V‖ ‖a b*‖_*`` plus the
    nuclear norms of ``δ Q*`` and ``P ε*``, which are bounded by sums over columns. The core ``a b*`` is small, and
    almost the diagonal matrix of the singular values ``Z = (U, s, V)``.
    """
    left, right = (_Side.from_factor(D, F, U) for D, F, U in zip(metric, pair, Z[::2], strict=True))
    is_complex = any(map(np.iscomplexobj, (*pair, left.inner, right.inner)))
    core, s = left.inner @ right.inner.conj().T, Z[1]
    summed = gamma(left.inner.shape[1] + 2, is_complex) * float(left.sizes @ right.sizes)
    off = float(np.linalg.norm(core - np.diag(s))) + summed
    errors = (
        float(np.sqrt(len(core))) * off
        + float(left.errors @ right.sizes)
        + float((left.sizes + left.errors) @ right.errors)
    )
    skew = max(1.0, float(np.sqrt((1 + left.skew) * (1 + right.skew))))
    return skew * (spread(s) + errors * (1 + gamma(8 * sum(len(F) for F in pair) + 64, is_complex)))


class _Side:
    """A whitened factor P whose columns are almost in the range of U: ``inner = U* P``, and bounds for every column.

    ``errors`` bounds the norms of the columns of ``P − U inner``, ``sizes`` those of the columns of P, and ``skew``
    bounds ``‖U*U − I‖``.
    """

    def __init__(self, inner: Array, errors: Array, sizes: Array, skew: float) -> None:
        self.inner, self.errors, self.sizes, self.skew = inner, errors, sizes, skew

    @classmethod
    def from_factor(cls, D: Metric, F: Array, U: Array) -> "_Side":
        C, is_complex = D.coordinates, np.iscomplexobj(F) or np.iscomplexobj(U)
        P = C[:, None] * F if C.ndim == 1 else C @ F
        if D.range is not None:
            U = D.range.conj().T @ U
        inner, terms = U.conj().T @ P, 2 if C.ndim == 1 else C.shape[1] + 1
        magnitude = np.abs(C)[:, None] * np.abs(F) if C.ndim == 1 else np.abs(C) @ np.abs(F)
        formed = gamma(terms, is_complex or np.iscomplexobj(C)) * np.linalg.norm(magnitude, axis=0)
        sizes = np.linalg.norm(P, axis=0)
        known = sizes + float(np.linalg.norm(U)) * np.linalg.norm(inner, axis=0)
        apart = np.linalg.norm(P - U @ inner, axis=0) + gamma(U.shape[1] + 2, is_complex) * known
        return cls(inner, apart + formed, sizes + formed, defect_of_columns(U))
