"""The assumptions of a proof of uniqueness: a whitened solution, and a dual matrix that proves it flattest."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
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
        apart = [float(np.linalg.norm(_outside(F, S[:, :rank]))) for F, S in ((U, spectrum.U), (V, spectrum.V))]
        return max(0.0, 1 - self.spectrum.below(rank) - spectrum.norm * apart[0] * apart[1])

    @property
    def rounding(self) -> float:
        """A bound on the relative rounding error of ``‖Z‖_*``."""
        return 10 * EPS * sum(self.point.whitened.shape)

    @property
    def objective(self) -> float:
        """``‖Z‖_*`` if the data must be fitted, else ``‖Z‖_*`` plus the loss over ``penalty``."""
        point = self.point
        return point.norm + (point.problem.loss.value(point.residual) / self.penalty if self.penalty else 0.0)


def _outside(F: Array, S: Array) -> Array:
    """Return the part of S outside the span of the orthonormal columns F."""
    return np.asarray(S - F @ (F.conj().T @ S))
