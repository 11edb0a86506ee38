"""Certified error radii: bounds on the distance of any other matrix that fits as well and is as flat."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import rounded_up
from flatmin.linalg.metric import Metric

__all__ = ["Stability", "Uniqueness", "distance_to_cores", "gain_bound"]


@dataclass(frozen=True)
class Stability:
    """Constants of the bound on the distance of other matrices of the model, in whitened coordinates.

    Let Z be the solution, λ the dual vector, ``Y = B*(λ)``, and U1, V1 its q leading singular vectors. For another
    matrix Z', the duality defect ``‖Z'‖_* − ⟨Y, Z'⟩`` bounds its distance from a space: either the tangent space of U1
    and V1, or the matrices ``U1 S V1*`` with Hermitian cores S. If B is injective on that space, Z' is near Z. Proofs:
    docs/theory/uniqueness.md.

    Attributes
    ----------
    space : str
        "tangent" or "core".
    injectivity : float
        A lower bound on the singular values of B on the space.
    misfit, gain : float
        ``‖B(Z) − b‖``, and a bound on ``‖B(Z)‖ / ‖Z‖_*``.
    semidefinite : bool
        Whether the model makes positive semidefinite matrices only.
    gap : float
        ``‖Z‖_* − ⟨λ, b⟩`` plus a bound on the error of the computed singular vectors. It can be negative if Z fits the
        data inexactly.
    size, outside : float
        ``‖Z‖_*``, and the nuclear norm of the part of Z outside the space.
    margin, inner : float
        ``1 − σ_{q+1}(Y)`` and ``σ_q(Y)``.
    dual_size, growth : float
        The norm of the dual vector, and the largest increase of ``‖Z'‖_*`` per unit of noise in models whose data
        determine the trace (0 in others).
    unwhiten : float
        ``‖D1⁻¹‖ ‖D2⁻¹‖``, which turns distances from Z into distances from X.
    line : bool
        Whether the space is spanned by one positive semidefinite matrix and the data determine the trace.
    """

    space: str
    injectivity: float
    misfit: float
    semidefinite: bool = False
    gap: float = 0.0
    size: float = 0.0
    margin: float = 1.0
    inner: float = 1.0
    gain: float = 0.0
    dual_size: float = 0.0
    growth: float = 0.0
    outside: float = 0.0
    unwhiten: float = 1.0
    line: bool = False

    def radius(self, noise: float = 0.0, excess: float = 0.0) -> float:
        """Return a bound on ``‖X' − X‖_F`` for X' that fits up to ``noise`` and is at most ``excess`` less flat."""
        largest = (1 + excess) * self.size + self.growth * (noise + self.misfit)  # bounds ‖Z'‖_*, and so its rounding
        rounding = abs(self.gap) * (largest / self.size - 1) if self.size else 0.0
        defect = max(0.0, self.gap + rounding + excess * self.size + self.dual_size * noise)
        if self.space == "tangent":
            apart = defect / self.margin
        else:
            apart = distance_to_cores(defect, largest, self.margin, self.inner, self.semidefinite)
        apart += self.outside
        within = (noise + self.misfit + self.gain * apart) / self.injectivity
        if self.line:  # the trace alone determines the part on the line
            within = min(within, self.growth * (noise + self.misfit) + apart)
        return rounded_up(float(self.unwhiten * np.hypot(within, apart)), 64)


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """The verdict on other flat minima.

    Attributes
    ----------
    unique : bool or None
        True: any other flat minimum lies within a relative distance of 1e-2. False: ``alternative`` is another one.
        None: undecided.
    q, margin : int and float
        Number of singular values of the dual matrix that count as one, and one minus the next singular value.
    injectivity : float or None
        Smallest over largest singular value of the map on Hermitian q×q cores; None if the map is too large.
    alternative : tuple of ndarray or None
        Another flat minimum in whitened coordinates, as a pair of factors, if one is known.
    stability, radius : Stability or None, float or None
        The constants that bound the distance of other flat minima, and that bound in the Frobenius norm of X, or None
        if no bound follows.
    """

    unique: bool | None
    q: int
    injectivity: float | None
    margin: float
    alternative: tuple[Array, Array] | None = None
    stability: Stability | None = None
    radius: float | None = None


def distance_to_cores(defect: float, size: float, margin: float, inner: float, semidefinite: bool) -> float:
    """Bound the nuclear norm of ``Z' − U1 S V1*`` for the nearest core S (docs/theory/uniqueness.md, lemma 2)."""
    if semidefinite:
        return float(2 * np.sqrt(defect * size / margin))
    return float(np.sqrt(2 * defect * size * (2 / margin + 2 / (1 + inner))))


def gain_bound(size: int, plain: tuple[Metric, Metric], metric: tuple[Metric, Metric], hermitian: bool) -> float:
    """Return a bound on ``‖B(Z)‖ / ‖Z‖_*`` from the metric that whitens B and the ``plain`` metric of power 1."""
    bounds = []
    for this, other in ((0, 1), (1, 0)):
        inside = metric[this].values > 0
        ratio = float(np.max(plain[this].values[inside] / metric[this].values[inside], initial=0.0))
        weakest = float(np.min(metric[other].values[metric[other].values > 0], initial=np.inf))
        dimension = 1 if hermitian else len(metric[other].values)
        bounds.append(np.sqrt(size * dimension) * ratio / weakest)
    return float(min(bounds))
