"""How many Gaussian measurements the nuclear norm needs, by conic geometry."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from flatmin.errors import InputError

__all__ = ["statistical_dimension"]

#: Draws of Gaussian matrices whose singular values are averaged.
DRAWS = 20


def statistical_dimension(shape: tuple[int, int], rank: int, *, seed: int = 0) -> tuple[float, float]:
    r"""Return the number of Gaussian measurements at which the nuclear norm begins to recover a matrix, and its error.

    It is the statistical dimension of the cone of directions in which the nuclear norm does not grow,

    ``δ = min_τ { r (d1 + d2 − r + τ²) + E Σ_j max(σ_j(G) − τ, 0)² }``,

    G a Gaussian matrix of shape (d1 − r, d2 − r), an upper bound that is sharp up to a few units; recovery sets in
    within some ``√(d1 d2)`` of it. The expectation is a mean over draws.

    Parameters
    ----------
    shape : tuple of int
        (d1, d2).
    rank : int
        Of the matrix, from 0 to the smaller dimension.
    seed : int
        Of the draws.

    Returns
    -------
    value, std_error : float
        Number of measurements, and the standard error of the draws.

    Raises
    ------
    InputError
        If the rank does not fit the shape.

    References
    ----------
    Amelunxen, Lotz, McCoy, Tropp, "Living on the edge: phase transitions in convex programs with random data",
    Information and Inference 3(3), 2014, Propositions 4.1 and 4.7.

    Examples
    --------
    >>> value, error = statistical_dimension((20, 20), 2)
    >>> 135 < value < 145, error < 2
    (True, True)
    """
    d1, d2 = shape
    if not 0 <= rank <= min(d1, d2):
        raise InputError(f"rank is {rank}, expected a whole number from 0 to {min(d1, d2)}, the smaller dimension")
    rng = np.random.default_rng(seed)
    rest = rng.standard_normal((DRAWS, d1 - rank, d2 - rank))
    sizes = np.linalg.svd(rest, compute_uv=False)

    def beyond(tau: float) -> float:
        return float(np.sum(np.maximum(sizes - tau, 0) ** 2) / DRAWS)

    def needed(tau: float) -> float:
        return rank * (d1 + d2 - rank + tau**2) + beyond(tau)

    largest = float(sizes.max(initial=1.0))
    best = minimize_scalar(needed, bounds=(0, 1.1 * largest), method="bounded", options={"xatol": 1e-6 * largest})
    each = np.sum(np.maximum(sizes - best.x, 0) ** 2, axis=1)
    return float(best.fun), float(each.std(ddof=1) / np.sqrt(DRAWS))
