"""Sweeps: alternating least squares on penalised cells, with extrapolation."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.completion.regularised_cells import Side

__all__ = ["Sweeps"]

#: Number of sweeps that the extrapolation combines.
MEMORY = 5


class Sweeps:
    """Alternating least squares as a fixed-point iteration on R, with the extrapolation of Anderson (1965).

    The objective at R is that of the best L for R. It never rises, because an extrapolated R that raises the objective
    is replaced by the R without extrapolation. ``rows`` and ``columns`` are the sides of the problem.
    """

    def __init__(self, rows: Side, columns: Side, R: Array) -> None:
        self.rows, self.columns, self.R = rows, columns, R
        self.total = float(np.sum(rows.values.astype(float) ** 2))
        self.L, self.value = self._at(R)
        self.images: list[Array] = []
        self.steps: list[Array] = []

    def _at(self, R: Array) -> tuple[Array, float]:
        L, gain = self.rows.half(R)
        return L, self.total - gain + self._size(self.columns, R)

    @property
    def misfit(self) -> float:
        """The sum of squared errors at (L, R), up to rounding errors of the size of those in the objective."""
        return max(0.0, self.value - self._size(self.rows, self.L) - self._size(self.columns, self.R))

    @staticmethod
    def _size(side: Side, F: Array) -> float:
        """Return the penalty of the rows of a factor."""
        return float(side.penalties @ np.sum(F.astype(float) ** 2, axis=1))

    def next(self) -> tuple[Array, float]:
        """Make one sweep; return L and the objective."""
        plain = self.columns.half(self.L)[0]
        kept = slice(1 - MEMORY, None)
        self.images, self.steps = [*self.images[kept], plain], [*self.steps[kept], plain - self.R]
        R = self._extrapolated() if len(self.steps) > 1 else plain
        L, value = self._at(R)
        if value > self.value and R is not plain:
            self.images, self.steps, R = [], [], plain
            L, value = self._at(R)
        self.L, self.R, self.value = L, R, value
        return L, value

    def _extrapolated(self) -> Array:
        """Return the combination of images for which the same combination of steps is shortest."""
        last = self.steps[-1].ravel()
        bends = np.stack([step.ravel() - last for step in self.steps[:-1]], axis=1)
        gram, slope = (bends.T @ bends).astype(float), (bends.T @ last).astype(float)
        gram[np.diag_indices(len(gram))] *= 1 + 1e-6
        shares = -np.linalg.lstsq(gram, slope, rcond=1e-10)[0]
        R = self.images[-1].copy()
        for share, image in zip(shares, self.images[:-1], strict=True):
            R += R.dtype.type(share) * (image - self.images[-1])
        return R
