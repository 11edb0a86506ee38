"""The space of leading singular vectors as they are stored: nearly orthonormal, with the parts of matrices outside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import defect_of_columns, gamma, rounded_up

__all__ = ["LeadingSpace"]

#: Bound on products of several factors 1 + γ and 1 + skew, which are all below 1.001.
PRODUCTS = 1.01


@dataclass(frozen=True, eq=False)
class LeadingSpace:
    """Stored columns U (d1, q) and V (d2, q), which stand for the nearest orthonormal ones, their polar factors.

    All bounds are about the polar factors and count all rounding errors (docs/theory/uniqueness.md). They are infinite
    if the columns are far from orthonormal. ``turned`` bounds errors of coordinates that are known only up to rounding.
    """

    U: Array
    V: Array
    turned: float = 0.0

    @cached_property
    def skew(self) -> float:
        """A bound on ``‖U*U − I‖`` and ``‖V*V − I‖``, and so on the distance of U and V from their polar factors."""
        return max(defect_of_columns(self.U), defect_of_columns(self.V)) + self.turned

    def outside_tangent(self, P: Array, Q: Array) -> float:
        """Return a bound on the nuclear norm of the part of ``P Q*`` outside the tangent space ``{U E* + F V*}``."""
        p, q = (_Parts.from_factor(F, G, self.skew) for F, G in ((P, self.U), (Q, self.V)))
        return self._known(float(p.outside @ q.outside), p, q)

    def outside_cores(self, P: Array, Q: Array, allowed: Array) -> float:
        """Return a bound on ``‖P Q* − U S V*‖_*``: S is the nearest Hermitian core, and zero unless ``allowed``."""
        p, q = (_Parts.from_factor(F, G, self.skew) for F, G in ((P, self.U), (Q, self.V)))
        inner = p.inner @ q.inner.conj().T
        core = np.where(allowed, (inner + inner.conj().T) / 2, 0)
        width = float(np.sqrt(min(len(inner), 2 * P.shape[1])))
        formed = gamma(P.shape[1] + 4, p.is_complex or q.is_complex) * float(np.sqrt(len(inner)))
        size = float(p.sizes @ q.sizes)
        found = width * float(np.linalg.norm(inner - core))
        found += 2 * (p.error + q.error + 2 * formed) * size  # of S as well as of U* P Q* V
        return self._known(found + float(p.outside @ q.sizes + p.sizes @ q.outside), p, q)

    def _known(self, bound: float, p: _Parts, q: _Parts) -> float:
        terms = sum(len(F) for F in (self.U, self.V)) + 4 * len(p.sizes) + 16
        return rounded_up(bound * (1 + gamma(terms))) if self.skew < 1e-3 else float("inf")


@dataclass(frozen=True, eq=False)
class _Parts:
    """Columns P, their coordinates ``inner = U* P``, bounds on their norms, and on those of ``(I − UU*) P``.

    ``error`` bounds the error of a column of the coordinates, relative to the column.
    """

    inner: Array
    sizes: Array
    outside: Array
    error: float
    is_complex: bool

    @classmethod
    def from_factor(cls, P: Array, U: Array, skew: float) -> _Parts:
        is_complex = np.iscomplexobj(P) or np.iscomplexobj(U)
        inner, (d, q) = U.conj().T @ P, U.shape
        sizes = np.linalg.norm(P, axis=0) * (1 + gamma(2 * d + 4))
        lost = PRODUCTS * gamma(d + q + 2, is_complex) * (1 + q) + skew
        outside = np.linalg.norm(P - U @ inner, axis=0) * (1 + gamma(2 * d + 4)) + lost * sizes
        error = PRODUCTS * gamma(d, is_complex) * float(np.sqrt(q)) + skew
        return cls(inner, sizes, outside, error, is_complex)
