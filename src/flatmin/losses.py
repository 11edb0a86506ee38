"""How misfit is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["Absolute", "Squared", "clip_level"]


@dataclass(frozen=True)
class Squared:
    """The mean squared residual ``(1/m) ‖A(X) − b‖²``."""

    def value(self, residual: Array) -> float:
        """Return the loss of a residual of shape (m,)."""
        return float(residual @ residual) / max(1, np.size(residual))

    def misfit(self, residual: Array) -> Array:
        """Return the part of a residual (m,) that counts: all of it."""
        return residual


@dataclass(frozen=True)
class Absolute:
    """Gross errors in some of the observed cells: robust PCA.

    Data ``Y = X + S`` with a sparse S. The loss of factors is the squared distance of ``Y − L Rᵀ`` from the ball
    ``{S : ‖S‖_1 ≤ τ}`` of the observed cells. It has one derivative only, so flatness is that of the smooth function
    which lies above it and touches it (the ball replaced by its nearest point): its Hessian has the trace
    ``2 d2 ‖L‖² + 2 d1 ‖R‖²`` and the scaled trace ``2 ‖L‖² + 2 ‖R‖²``, whose metric is the identity. Flat is

        minimise ‖X‖_*   subject to   ‖Y − X‖_1 ≤ τ,

    or, with nothing to be known about S, ``minimise ‖X‖_* + weight · ‖Y − X‖_1``: every solution is flat for its own τ.

    Parameters
    ----------
    weight : float, optional
        What a unit of error costs. None stands for ``1 / √max(d1, d2)`` of the whole matrix, missing cells or not.
    tau : float, optional
        The size ‖S‖_1 that the errors may have, where it is known; excludes ``weight``.

    Raises
    ------
    InputError
        If both are given, weight is not positive, or tau is negative.

    References
    ----------
    Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.

    Examples
    --------
    >>> Absolute().weight_for((100, 25))
    0.1
    >>> Absolute(tau=3.0).value(np.array([4.0, 0.0, -1.0]))
    2.0
    """

    weight: float | None = None
    tau: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and self.tau is not None:
            raise InputError("weight and tau are both given, expected one of them: they are two forms of one problem")
        for name, value, least in (("weight", self.weight, "above 0"), ("tau", self.tau, "of at least 0")):
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if value is not None and (not number or not 0 <= value < np.inf or (name == "weight" and value == 0)):
                raise InputError(f"{name} is {value!r}, expected a finite number {least}")
            object.__setattr__(self, name, None if value is None else float(value))

    def weight_for(self, shape: tuple[int, int]) -> float | None:
        """Return the weight for a matrix of this shape, None in the form with tau."""
        if self.tau is not None:
            return None
        return 1 / float(np.sqrt(max(shape))) if self.weight is None else self.weight

    def value(self, residual: Array) -> float:
        """Return the squared distance of a residual (m,) from the ball ``{S : ‖S‖_1 ≤ τ}``.

        Without tau every point is judged by its own τ, the size of its own errors, so it is 0.
        """
        return float(np.sum(self.misfit(residual) ** 2))

    def misfit(self, residual: Array) -> Array:
        """Return the part of a residual (m,) that counts: what projecting it on the ball leaves; 0 without tau."""
        if self.tau is None:
            return np.zeros_like(residual)
        level = clip_level(np.abs(residual), self.tau)
        return np.clip(residual, -level, level)


def clip_level(sizes: Array, budget: float, guess: float = 0.0) -> float:
    """Return the least t ≥ 0 with ``Σ (sizes − t)₊ ≤ budget``.

    What projecting an array on the ℓ1 ball of radius ``budget`` takes away from it is the array clipped to ±t. Newton's
    method on this convex, piecewise linear equation ends after finitely many steps.

    Parameters
    ----------
    sizes : ndarray
        Nonnegative numbers.
    budget : float
        The radius.
    guess : float
        Where to start.

    Examples
    --------
    >>> clip_level(np.array([4.0, 0.0, 1.0]), 3.0)
    1.0
    """
    if sizes.size == 0 or float(sizes.sum()) <= budget:
        return 0.0
    level = _newton_step(sizes, budget, guess)
    while (following := _newton_step(sizes, budget, level)) > level:
        level = following
    return level


def _newton_step(sizes: Array, budget: float, level: float) -> float:
    """Return the root of the linear piece at ``level``, which never exceeds the root sought."""
    above = sizes[sizes > level]
    return max(0.0, float(above.sum()) - budget) / max(1, above.size)
