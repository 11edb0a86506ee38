"""The assumptions of a proof of uniqueness: a whitened solution, and a dual matrix that proves it flattest."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, rounded_up
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.linalg.subspaces import EPS
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["UniquenessConditions"]


@dataclass(frozen=True, eq=False)
class UniquenessConditions:
    """A whitened solution and a dual matrix that proves it flattest, from which uniqueness follows.

    Attributes
    ----------
    point : WhitenedSolution
        The solution Z.
    spectrum : TopSpectrum
        The leading singular values and vectors of the dual matrix Y, which is scaled to norm at most one.
    dual : ndarray, shape (m,)
        The dual vector of Y, or of I − Y.
    gap : float
        Bound on ``‖Z'‖_* − ⟨Y, Z'⟩`` for all other flat minima Z', relative to ``‖Z‖_*``.
    misfit : float
        Bound on the distance of the measurements of other flat minima from those of Z.
    growth : float
        See `flatmin.proofs.radius.Stability`; it is positive if ``dual`` is that of I − Y.
    penalty : float
        The factor of ``‖Z‖_*`` in a penalised objective, 0 if the data must be fitted.
    """

    point: WhitenedSolution
    spectrum: TopSpectrum
    dual: Array
    gap: float
    misfit: float
    growth: float = 0.0
    penalty: float = 0.0

    def margin(self, q: int) -> float:
        """Return the margin ``1 − σ_{q+1}`` of the dual matrix."""
        return max(0.0, 1 - self.spectrum.below(q)) if q < min(self.point.whitened.shape) else 1.0

    def margin_outside(self, U: Array, V: Array) -> float:
        """Return a δ for which ``‖(I − U U*) Y (I − V V*)‖ ≤ 1 − δ``, for orthonormal U and V.

        U (d1, r) and V (d2, r) are near the r leading singular vectors of Y, and the parts of these vectors outside U
        and V are counted. In the positive semidefinite cone, the largest eigenvalue takes the place of the norm.
        """
        rank, spectrum = U.shape[1], self.spectrum
        if rank >= min(self.point.whitened.shape):
            return 1.0
        apart = [_outside(F, S[:, :rank]) for F, S in ((U, spectrum.U), (V, spectrum.V))]
        return max(0.0, 1 - rounded_up(self.spectrum.below(rank) + spectrum.norm * apart[0] * apart[1]))

    @property
    def resolution(self) -> float:
        """The typical rounding error of singular values, relative. It decides which of them count; no bound uses it."""
        return 10 * EPS * sum(self.point.whitened.shape)

    @property
    def hidden_loss(self) -> float:
        """A bound on what rounding hides of the loss, in units of ``‖Z‖_*``; 0 if the data must be fitted."""
        if not self.penalty:
            return 0.0
        point, m = self.point, len(self.dual)
        error, largest = float(np.linalg.norm(point.residual_error)), point.misfit
        hidden = 4 * largest * (error + gamma(m + 8) * largest)
        return rounded_up(hidden / (m * self.penalty) * (1 + gamma(m + 8)), 16)


def _outside(F: Array, S: Array) -> float:
    """Return a bound on ``‖(I − P) Q‖``: P and Q project on the spans of F and S, whose columns are nearly orthonormal.

    ``(I − P) S = (I − P)(S − F X)`` for every X, also for a rounded one. Every unit vector in the span of S is S times
    a vector of norm at most ``1/√(1 − ‖S*S − I‖)``.
    """
    X = F.conj().T @ S
    sizes = float(np.linalg.norm(S)) + float(np.linalg.norm(F)) * float(np.linalg.norm(X))
    formed = gamma(F.shape[1] + 2, np.iscomplexobj(F) or np.iscomplexobj(S)) * sizes
    skew = min(defect_of_columns(S), 1 - UNIT)
    return rounded_up((float(np.linalg.norm(S - F @ X)) * (1 + gamma(S.size)) + formed) / float(np.sqrt(1 - skew)))
