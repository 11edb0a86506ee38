"""Rank test: the smallest rank near a given one whose residual cannot be told from noise."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.solvers.noise.refit import least_squares
from flatmin.solvers.noise.simulated_noise import SimulatedNoise

__all__ = ["RankTest"]

#: Largest number of ranks that are tested above the rank of the penalised solution.
MAX_STEPS_UP = 8
#: Relative gradient at which fits end that are computed only for the test.
TEST_GRADIENT = 1e-3

#: Stacked factors and their residual.
_Fit = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class RankTest:
    """The sequential test after a solve with ``penalty``, in the scaled units of `SimulatedNoise`.

    ``measurements`` is the number of measurements, repeated ones included; ``widest`` is the largest rank allowed.
    """

    noise: SimulatedNoise
    penalty: float
    measurements: int
    widest: int
    clock: Clock

    def fit(self, x: Array, tol: float | None = None) -> _Fit:
        """Return stacked factors of the least-squares fit at the rank of x, and its residual."""
        end = least_squares(self.noise.scaled, x, self.penalty, self.clock, tol)
        return end.x, self.noise.scaled.b - end.value

    def passed(self, x: Array) -> _Fit:
        """Return the fit of the smallest rank near that of stacked factors x whose residual passes for noise.

        The rank after which the singular values of x drop most usually passes, while the next smaller one fails. It is
        tried before that of x, whose fit is slow if its last columns follow noise. Otherwise columns are removed while
        the residual passes, or added until it does. When time is up, the rank is the last one that passed. If the data
        determine the trace, the penalty selects no rank, and a few outliers among the measurements can increase the
        rank found.
        """
        _, s, _ = self.noise.scaled.model.canonical(x)
        failed, guess = -1, _rank_before_drop(np.append(s, 0.0) + 1 / self.penalty)  # a penalty has reduced s
        if guess < len(s):
            fit = self._reduced(x, guess)
            if self._passes(*fit)[0]:
                return self.fit(self._smallest(fit, failed, (guess - 1,))[0])
            failed = guess
        fit = self.fit(x, TEST_GRADIENT)
        passes, column = self._passes(*fit)
        if passes:
            drop = _rank_before_drop(self.noise.scaled.model.canonical(fit[0])[1])
            return self.fit(self._smallest(fit, failed, (drop, drop - 1))[0])
        for _ in range(min(MAX_STEPS_UP, self.widest - fit[0].shape[1])):
            if passes or self.clock.out_of_time:
                break
            fit = self.fit(np.hstack([fit[0], column]), TEST_GRADIENT)
            passes, column = self._passes(*fit)
        return self.fit(fit[0])

    def _smallest(self, fit: _Fit, failed: int, guesses: tuple[int, ...]) -> _Fit:
        """Return the fit of the smallest rank above ``failed`` that passes, given one that passes.

        If smaller ranks than one that fails fail too, bisection finds it. The guesses are tried before.
        """
        while (rank := fit[0].shape[1]) > failed + 1 and not self.clock.out_of_time:
            tried = next((guess for guess in guesses if failed < guess < rank), (failed + rank) // 2)
            smaller = self._reduced(fit[0], tried)
            if self._passes(*smaller)[0]:
                fit = smaller
            else:
                failed = smaller[0].shape[1]
        return fit

    def _reduced(self, x: Array, rank: int) -> _Fit:
        """Return the fit of a smaller rank, which starts from the largest components of stacked factors."""
        model = self.noise.scaled.model
        U, s, V = model.canonical(x)
        return self.fit(model.stack(U[:, :rank], s[:rank], V[:, :rank]), TEST_GRADIENT)

    def _passes(self, x: Array, residual: Array) -> tuple[bool, Array]:
        """Return whether the residual passes for noise, and the new column that would reduce the residual most."""
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


def _rank_before_drop(s: Array) -> int:
    """Return the number of singular values before the largest ratio of two consecutive ones."""
    return 1 + int(np.argmax(s[:-1] / np.maximum(s[1:], np.finfo(float).tiny))) if len(s) > 1 else len(s)
