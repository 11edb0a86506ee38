"""Certified error radii: bounds on the distance of any other matrix that fits as well and is as flat."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flatmin.linalg.metric import Metric

__all__ = ["Stability", "distance_to_cores", "gain_bound"]


@dataclass(frozen=True)
class Stability:
    """Constants of the bound on the distance of other matrices of the model, in whitened coordinates.

    Let Z be the solution, λ the dual vector, ``Y = B*(λ)``, and U1, V1 its q leading singular vectors. Every matrix Z'
    of the model with ``‖B(Z') − b‖ ≤ noise`` and ``‖Z'‖_* ≤ (1 + excess) ‖Z‖_*`` has
    ``‖Z'‖_* − ⟨Y, Z'⟩ ≤ ε' = gap + excess · size + dual_size · noise``, which confines it to the neighbourhood of the
    tangent space of U1, V1 (linearly in ε') or of the symmetric cores ``U1 S V1*`` (like its square root). Where the
    measurements tell the elements of that space apart, Z' is near Z. Proofs: docs/theory/uniqueness.md.

    Attributes
    ----------
    space : str
        "tangent" or "core".
    semidefinite : bool
        Whether the model makes positive semidefinite matrices only.
    gap : float
        ``‖Z‖_* − ⟨λ, b⟩`` plus the coupling of the computed singular vectors with the rest, at least a rounding error.
        It is negative if the misfit of Z exceeds its gap.
    size : float
        ``‖Z‖_*``.
    margin, inner : float
        ``1 − σ_{q+1}(Y)`` and ``σ_q(Y)``.
    injectivity : float
        Smallest singular value of B on the space.
    gain : float
        A bound on ``‖B(Z)‖ / ‖Z‖_*``.
    dual_size, growth : float
        Norm of the dual vector; growth of the trace with the noise in models whose data determine the trace.
    misfit : float
        ``‖B(Z) − b‖``.
    outside : float
        Nuclear norm of the part of Z outside the space.
    unwhiten : float
        ``‖D1⁻¹‖ ‖D2⁻¹‖``, which turns distances of Z into those of X.
    """

    space: str
    semidefinite: bool
    gap: float
    size: float
    margin: float
    inner: float
    injectivity: float
    gain: float
    dual_size: float
    growth: float
    misfit: float
    outside: float
    unwhiten: float

    def radius(self, noise: float = 0.0, excess: float = 0.0) -> float:
        """Return a bound on ``‖X' − X‖_F`` for every other matrix X' of the model.

        Parameters
        ----------
        noise : float
            X' fits the data up to ``‖A(X') − b‖ ≤ noise``.
        excess : float
            X' is at most this much less flat, relatively.
        """
        largest = (1 + excess) * self.size + self.growth * (noise + self.misfit)  # bounds ‖Z'‖_*, and so its rounding
        rounding = abs(self.gap) * (largest / self.size - 1) if self.size else 0.0
        defect = max(0.0, self.gap + rounding + excess * self.size + self.dual_size * noise)
        if self.space == "tangent":
            apart = defect / self.margin
        else:
            apart = distance_to_cores(defect, largest, self.margin, self.inner, self.semidefinite)
        apart += self.outside
        within = (noise + self.misfit + self.gain * apart) / self.injectivity
        return float(self.unwhiten * np.hypot(within, apart))

    def as_dict(self) -> dict[str, Any]:
        """Return the constants by name."""
        return asdict(self)


def distance_to_cores(defect: float, size: float, margin: float, inner: float, semidefinite: bool) -> float:
    """Return a bound on the nuclear distance of any Z' from the cores ``U1 S V1*``, S Hermitian.

    Parameters
    ----------
    defect, size : float
        Bounds on the duality defect ``‖Z'‖_* − ⟨Y, Z'⟩`` and on ``‖Z'‖_*``.
    margin, inner : float
        ``1 − σ_{q+1}(Y)`` and ``σ_q(Y)``.
    semidefinite : bool
        Whether Z' is positive semidefinite.
    """
    if semidefinite:
        return float(2 * np.sqrt(defect * size / margin))
    return float(np.sqrt(2 * defect * size * (2 / margin + 2 / (1 + inner))))


def gain_bound(size: int, plain: tuple[Metric, Metric], metric: tuple[Metric, Metric], hermitian: bool) -> float:
    """Return a bound on ``‖B(Z)‖ / ‖Z‖_*`` for ``B(Z) = A(D1⁻¹ Z D2⁻¹)``, from the metric alone.

    For a unit matrix u v* it is the root of ``u* (Σ B_i B_i*) u`` at most, and ``Σ A_i A_i*`` is m d2 (Hermitian
    models: m) times the square of the metric.

    Parameters
    ----------
    size : int
        The number of measurements m.
    plain : tuple of Metric
        The metric of the measurements.
    metric : tuple of Metric
        The metric (D1, D2) by which they were whitened, a function of the plain one.
    hermitian : bool
        Whether the metric is that of a Hermitian model.
    """
    bounds = []
    for this, other in ((0, 1), (1, 0)):
        inside = metric[this].values > 0
        ratio = float(np.max(plain[this].values[inside] / metric[this].values[inside], initial=0.0))
        weakest = float(np.min(metric[other].values[metric[other].values > 0], initial=np.inf))
        dimension = 1 if hermitian else len(metric[other].values)
        bounds.append(np.sqrt(size * dimension) * ratio / weakest)
    return float(min(bounds))
