"""Alternating least squares in 64 bits, accelerated: from where Spark's own ends to where a certificate holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.parametrizations.base import Factors
from flatmin.spark.cells import Cells

__all__ = ["Swept", "sweep"]

#: Sweeps that the next one is extrapolated from.
MEMORY = 5
#: Objectives rise by rounding; more than this, relatively, and what was extrapolated is dropped.
ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Swept:
    """Where sweeps have led.

    Attributes
    ----------
    factors : pair of ndarray
        L, which is the best one for R, and R.
    slope : float
        The gradient of the flat objective there, relative to the part of it that the data make.
    objective : float
        ``Σ e² + regParam (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)``, less ``Σ v²``.
    count : int
        Sweeps made.
    """

    factors: Factors
    slope: float
    objective: float
    count: int


def sweep(
    cells: Cells, R: Array, strength: float, *, tol: float, most: int, told: Callable[[int, float], Any] | None = None
) -> Swept:
    """Sweep until the relative gradient is below ``tol``, or ``most`` times.

    A sweep makes R of R. Where it would lead is extrapolated from the last ones (Anderson's mixing); what does not
    lower the objective is taken back.

    Parameters
    ----------
    cells : Cells
    R : ndarray, shape (d2, k)
        The factor of the columns to begin with.
    strength : float
        regParam.
    tol : float
    most : int
    told : callable, optional
        Told of the sweeps made so far and of the relative gradient, after each.

    References
    ----------
    Walker, Ni, "Anderson acceleration for fixed-point iterations", SIAM Journal on Numerical Analysis 49(4), 2011.
    """
    mixing, counts, width = _Mixing(), cells.counts[1], R.shape[1]
    L, plain = np.zeros((cells.shape[0], width)), R
    lowest = np.inf
    for done in range(most + 1):
        L, gains = cells.best(0, (L, R), strength)
        objective = float(strength * (counts @ np.sum(R**2, axis=1)) - gains[2])
        if objective > lowest + ROUNDING * abs(lowest) and R is not plain:
            mixing, R = _Mixing(), plain
            L, gains = cells.best(0, (L, R), strength)
            objective = float(strength * (counts @ np.sum(R**2, axis=1)) - gains[2])
        lowest = objective
        plain, sums = cells.best(1, (L, R), strength)
        slope = float(np.sqrt(sums[0] / sums[1])) if sums[1] else 0.0
        if told is not None:
            told(done, slope)
        if slope <= tol or done == most:
            break
        R = mixing.next(R, plain)
    return Swept((L, R), slope, objective, done)


@dataclass
class _Mixing:
    """Anderson's mixing of the points of a fixed-point iteration and of their images."""

    points: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY + 1))
    images: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY + 1))

    def next(self, point: Array, image: Array) -> Array:
        """Return where to go on: the combination of images whose steps nearly cancel."""
        self.points.append(point)
        self.images.append(image)
        if len(self.points) == 1:
            return image
        steps = [image - point for point, image in zip(self.points, self.images, strict=True)]
        changes = np.stack([(steps[-1] - step).ravel() for step in list(steps)[:-1]], axis=1)
        shares = np.linalg.lstsq(changes, steps[-1].ravel(), rcond=1e-10)[0]
        mixed = image.copy()
        for share, other in zip(shares, list(self.images)[:-1], strict=True):
            mixed -= share * (image - other)
        return mixed
