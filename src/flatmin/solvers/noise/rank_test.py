"""The smallest rank, near a given one, whose least-squares fit leaves a residual that passes for noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.solvers.noise.refit import least_squares
from flatmin.solvers.noise.simulated_noise import SimulatedNoise

__all__ = ["RankTest"]

#: Ranks that are tested above the one that the penalty found.
ABOVE = 8
#: The relative gradient to which fits are made that are only looked at.
GLANCE = 1e-4

#: Stacked factors and the residual that they leave.
_Fit = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class RankTest:
    """The sequential test, in the scaled units of `SimulatedNoise`.

    Attributes
    ----------
    noise : SimulatedNoise
        What noise can do.
    price : float
        What misfit costs in the penalised solve.
    measurements : int
        How many there are, repeated ones included.
    widest : int
        The largest rank allowed.
    clock : Clock
        Limits, shared with the caller.
    """

    noise: SimulatedNoise
    price: float
    measurements: int
    widest: int
    clock: Clock

    def fit(self, x: Array, tol: float | None = None) -> _Fit:
        """Return stacked factors of the least-squares fit at the rank of x, and its residual."""
        end = least_squares(self.noise.scaled, x, self.price, self.clock, tol)
        return end.x, self.noise.scaled.b - end.value

    def passed(self, x: Array) -> _Fit:
        """Return the fit of the smallest rank around that of stacked factors x whose residual passes for noise.

        Columns are taken away as long as it does, or added until it does: where the data determine the trace, a penalty
        on it selects no rank, and a few outliers among the measurements make columns of their own. Where time is up the
        rank is the last one that was looked at.
        """
        model, fit = self.noise.scaled.model, self.fit(x, GLANCE)
        passes, column = self._passes(*fit)
        while passes and fit[0].shape[1] > 0 and not self.clock.out_of_time:
            U, s, V = model.canonical(fit[0])
            smaller = self.fit(model.stack(U[:, :-1], s[:-1], V[:, :-1]), GLANCE)
            if not self._passes(*smaller)[0]:
                return self.fit(fit[0])
            fit = smaller
        for _ in range(min(ABOVE, self.widest - fit[0].shape[1])):
            if passes or self.clock.out_of_time:
                break
            fit = self.fit(np.hstack([fit[0], column]), GLANCE)
            passes, column = self._passes(*fit)
        return self.fit(fit[0])

    def _passes(self, x: Array, residual: Array) -> tuple[bool, Array]:
        """Return whether nothing outside x sticks out of the residual, and the column that sticks out most."""
        noise, model = self.noise, self.noise.scaled.model
        U, _, V = model.canonical(x)
        u, values, v = model.escapes(model.dual_matrix(residual), U, V, 1, noise.seed)
        free = self.measurements - model.freedom(x.shape[1])
        if free <= 0 or not len(values):
            return True, x[:, :0]
        level = np.sqrt(noise.squares(residual) * self.measurements / free)
        passes = values[0] <= noise.even * level or values[0] <= noise.flipped(residual) * level
        column = model.stack(u, np.ones(1), v)
        shape = model.value(column)
        size = max(float(residual @ shape) / max(float(shape @ shape), 1e-300), 0.0)
        return bool(passes), np.asarray(np.sqrt(size) * column)
