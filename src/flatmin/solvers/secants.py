"""Secants: guesses of the penalty at which the square-root rule holds, from penalties that were tried before."""

from collections.abc import Sequence

import numpy as np

__all__ = ["next_guess"]

#: Relative distance below which two penalties are too close for a secant.
MIN_DISTANCE = 1e-2
#: Number of secants of a guess. The points of each one are the nearest to the crossing of the one before.
SECANTS = 3


def next_guess(threshold: float, known: Sequence[tuple[float, float]]) -> float:
    """Return a guess of the fixed point of ``u = t² ρ(u)`` for the threshold t, from known points (u, ρ(u)).

    It is the crossing of a secant through the two points nearest to it. If the last u is too large, the fixed-point
    iteration itself does not overshoot, and the guess does not go further than it does.

    Examples
    --------
    >>> round(next_guess(0.5, [(4.0, 6.0), (2.0, 5.0)]), 3)  # ρ = 4 + u/2
    1.143
    """
    u, left = known[-1]
    wanted = guess = threshold**2 * left
    for _ in range(SECANTS):
        now, *others = sorted(dict(known).items(), key=lambda point: abs(np.log(point[0] / guess)))
        other = next((point for point in others if abs(np.log(point[0] / now[0])) > MIN_DISTANCE), None)
        crossing = np.inf if other is None else _crossing(threshold, other, now)
        if crossing == np.inf:
            break
        guess = crossing
    return min(wanted, guess) if wanted < u else guess


def _crossing(threshold: float, before: tuple[float, float], now: tuple[float, float]) -> float:
    """Return the fixed point of ``u = t² ρ(u)`` if ρ is linear through two points (u, ρ); infinity if there is none."""
    (u0, rho0), (u1, rho1) = before, now
    slope = (rho0 - rho1) / (u0 - u1) if u0 != u1 else np.inf
    constant = rho1 - slope * u1
    if not 0 <= threshold**2 * slope < 1 or constant <= 0:
        return np.inf
    return float(threshold**2 * constant / (1 - threshold**2 * slope))
