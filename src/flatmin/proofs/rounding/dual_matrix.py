"""The whitened dual matrix of a dual vector, with a bound on its rounding errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, gamma
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.linalg.subspaces import as_array
from flatmin.proofs.rounding.stored_triplets import turned
from flatmin.proofs.whitening import WhitenedSolution, row_sizes

__all__ = ["DualMatrix"]

#: Relative rounding error of the entries of sensing matrices that a diagonal metric whitens.
WHITENED = 6 * UNIT


@dataclass(frozen=True, eq=False)
class DualMatrix:
    """``S = W1* A*(λ) W2`` as it was computed, for the stored whitenings W of `Metric.whitening`.

    Attributes
    ----------
    point : WhitenedSolution
        The solution that λ is a dual vector of.
    S : ndarray, sparse array or operator
        The computed matrix. If D1 or D2 is singular and not diagonal, S acts on its range only and is smaller.
    error : float
        A bound on the operator norm of the difference from the exact ``W1* A*(λ) W2``.
    """

    point: WhitenedSolution
    S: Any
    error: float

    @classmethod
    def from_dual(cls, point: WhitenedSolution, dual: Array) -> DualMatrix:
        """Return the matrix of a dual vector, sparse where the measurement makes sparse matrices."""
        D1, D2 = point.metric
        if D1.is_diagonal and D2.is_diagonal:
            S = point.whitened.adjoint_operator(dual)
            if not isinstance(S, np.ndarray):
                return cls(point, S, point.whitened.adjoint_error(dual, entry=WHITENED))
        inner, is_complex = as_array(point.problem.measurement.adjoint_operator(dual)), point.is_complex
        S = _congruence(D1.whitening, inner, D2.whitening)
        sizes = _congruence(np.abs(D1.whitening), np.abs(inner), np.abs(D2.whitening))
        error = gamma(sum(inner.shape) + 4, is_complex) * float(np.linalg.norm(sizes)) * (1 + gamma(sizes.size))
        if point.cone.is_hermitian:
            S = (S + S.conj().T) / 2
        return cls(point, S, 1.01 * error + _sums(point, dual))

    def spectrum(self, U: Array, V: Array, **options: Any) -> TopSpectrum:
        """Return the bounds of `Cone.spectrum` on the computed matrix, given guesses U (d1, k) and V (d2, k).

        The guesses are orthonormal and near the leading singular vectors.
        """
        lifts = [D.range for D in self.point.metric]
        U, V = (F if lift is None else lift.conj().T @ F for F, lift in zip((U, V), lifts, strict=True))
        found = self.point.cone.spectrum(self.S, U, V, **options)
        U, V = (F if lift is None else lift @ F for F, lift in zip((found.U, found.V), lifts, strict=True))
        return replace(found, U=U, V=V, slack=found.slack + turned(self.point.metric) * found.norm)

    def complement(self) -> DualMatrix:
        """Return ``I − S`` with its error bound, where I is the identity on the range of the metric."""
        D, S = self.point.metric[0], as_array(self.S)
        seen = np.diag((D.values > 0).astype(float)) if D.range is None else np.eye(len(S))
        return replace(self, S=seen - S)

    @property
    def error_of_products(self) -> float:
        """The bound ``error`` if S is never formed: an operator has only the errors of the whitened A_i."""
        return 2.01 * WHITENED * float(self.S.norm_bound) if hasattr(self.S, "norm_bound") else self.error

    @property
    def whole(self) -> Any:
        """S as a matrix of all rows and columns, even if a singular metric makes S itself smaller."""
        lifts = [D.range for D in self.point.metric]
        if lifts[0] is None or lifts[1] is None:
            return self.S
        return lifts[0] @ self.S @ lifts[1].conj().T


def _congruence(W1: Array, M: Array, W2: Array) -> Array:
    """Return ``W1* M W2``; vectors stand for diagonal matrices."""
    left = W1[:, None] * M if W1.ndim == 1 else W1.conj().T @ M
    return np.asarray(left * W2 if W2.ndim == 1 else left @ W2)


def _sums(point: WhitenedSolution, dual: Array) -> float:
    """Return a bound on the error of S that comes from the rounding errors of ``A*(λ)``.

    The error of row j of ``A*(λ)`` is at most ``e ‖λ‖`` times the norm of row j in all A_i together, where e is the
    rounding error of a sum.
    """
    rounding = point.problem.measurement.adjoint_rounding + 8 * UNIT
    reaches = []
    for D, sizes in zip(point.metric, row_sizes(point.problem), strict=True):
        W = np.abs(D.whitening)
        reaches.append(float(np.linalg.norm(W * sizes if W.ndim == 1 else W.T @ sizes)))
    D1, D2 = point.metric
    reach = min(reaches[0] * D2.whitening_norm, reaches[1] * D1.whitening_norm)
    return rounding * float(np.linalg.norm(dual)) * reach * (1 + gamma(dual.size + 4 * sum(point.problem.shape)))
