"""Accelerated alternating least squares in 64 bits, which continues Spark's ALS until a fit can be certified."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.parametrizations.base import Factors
from flatmin.spark.distributed_cells import DistributedCells

__all__ = ["Swept", "sweep"]

#: Number of sweeps from which the next one is extrapolated.
MEMORY = 5
#: Relative rise of the objective that may be rounding. After a larger rise the extrapolation is dropped.
ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Swept:
    """The result of ``count`` sweeps: the factor R, and the L that is best for it."""

    factors: Factors
    #: The norm of the gradient of the flat objective, relative to the norm of the part of the gradient from the data.
    slope: float
    #: ``Σ e² + regParam (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)``, minus ``Σ v²``.
    objective: float
    count: int


def sweep(
    cells: DistributedCells,
    R: Array,
    reg_param: float,
    *,
    tol: float,
    most: int,
    callback: Callable[[int, float], Any] | None = None,
) -> Swept:
    """Sweep until the relative gradient is below ``tol``, or ``most`` times, from the factor R (d2, k) of the columns.

    A sweep maps R to a new R. The next R is extrapolated from the last ones by Anderson's mixing (Walker, Ni, SIAM
    Journal on Numerical Analysis 49(4), 2011), and the extrapolation is dropped if it raises the objective.
    """
    mixing, counts, width = _Mixing(), cells.counts[1], R.shape[1]
    L, plain = np.zeros((cells.shape[0], width)), R
    lowest = np.inf
    for done in range(most + 1):
        L, gains = cells.best(0, (L, R), reg_param)
        objective = float(reg_param * (counts @ np.sum(R**2, axis=1)) - gains[2])
        if objective > lowest + ROUNDING * abs(lowest) and R is not plain:
            mixing, R = _Mixing(), plain
            L, gains = cells.best(0, (L, R), reg_param)
            objective = float(reg_param * (counts @ np.sum(R**2, axis=1)) - gains[2])
        lowest = objective
        plain, sums = cells.best(1, (L, R), reg_param)
        slope = float(np.sqrt(sums[0] / sums[1])) if sums[1] else 0.0
        if callback is not None:
            callback(done, slope)
        if slope <= tol or done == most:
            break
        R = mixing.next(R, plain)
    return Swept((L, R), slope, objective, done)


@dataclass
class _Mixing:
    """Anderson's mixing: the last points of a fixed-point iteration and their images, for extrapolation."""

    points: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY + 1))
    images: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY + 1))

    def next(self, point: Array, image: Array) -> Array:
        """Return the next point: the combination of images whose steps nearly cancel."""
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
