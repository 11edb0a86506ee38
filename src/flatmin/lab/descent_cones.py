"""Statistical dimensions of descent cones: how many Gaussian measurements minimising a convex norm needs."""

from functools import cache

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["statistical_dimension", "statistical_dimension_of_sparse"]

#: Number of random Gaussian matrices over which an expectation is averaged.
DRAWS = 20


#: For each space of matrices, whether its matrices are symmetric, semidefinite, and complex.
CONES = {
    "all": (False, False, False),
    "symmetric": (True, False, False),
    "semidefinite": (True, True, False),
    "hermitian semidefinite": (True, True, True),
}


@cache
def statistical_dimension(
    shape: tuple[int, int], rank: int, *, among: str = "all", seed: int = 0
) -> tuple[float, float]:
    r"""Return the number of Gaussian measurements that the nuclear norm needs to recover a matrix, and its error.

    The number is δ, the statistical dimension of the descent cone of the nuclear norm,

    ``δ = min_τ { r (d1 + d2 − r + τ²) + E Σ_j max(σ_j(G) − τ, 0)² }``,

    where G is a Gaussian matrix of shape (d1 − r, d2 − r), and E is computed as a mean over draws. δ is an upper bound
    that is sharp up to a few units; recovery begins within about ``√(d1 d2)`` of δ. For symmetric matrices
    ``r d − r (r − 1)/2`` replaces ``r (d1 + d2 − r)``, G is symmetric with variances ½ off its diagonal, and
    ``|λ_j(G)|`` replaces ``σ_j(G)``; for semidefinite ones ``λ_j(G)`` does. Hermitian matrices of rank r have dimension
    ``r (2 d − r)``.

    Parameters
    ----------
    shape : tuple of int
        (d1, d2).
    rank : int
        The rank, from 0 to the smaller dimension.
    among : str
        The space of matrices: "all", "symmetric", "semidefinite" or "hermitian semidefinite". The measurements are
        Gaussian in it.
    seed : int
        Seed of the draws.

    Raises
    ------
    InputError
        If the rank does not fit the shape, ``among`` is another word, or the shape must be square.

    References
    ----------
    Amelunxen, Lotz, McCoy, Tropp, "Living on the edge: phase transitions in convex programs with random data",
    Information and Inference 3(3), 2014, Propositions 4.1 and 4.7.

    Examples
    --------
    >>> value, error = statistical_dimension((20, 20), 2)
    >>> 135 < value < 145, error < 2
    (True, True)
    >>> statistical_dimension((20, 20), 2, among="semidefinite")[0] < value / 2
    True
    """
    d1, d2 = shape
    if not 0 <= rank <= min(d1, d2):
        raise InputError(f"rank is {rank}, expected a whole number from 0 to {min(d1, d2)}, the smaller dimension")
    if among not in CONES:
        raise InputError(f"among is {among!r}, expected one of {', '.join(CONES)}")
    symmetric, semidefinite, hermitian = CONES[among]
    if symmetric and d1 != d2:
        raise InputError(f"shape is {shape}, expected a square one for matrices that are {among}")
    rest = np.random.default_rng(seed).standard_normal((DRAWS, d1 - rank, d2 - rank))
    dimensions = rank * (d1 + d2 - rank)
    if hermitian:
        rest = rest + 1j * np.random.default_rng(seed + 1).standard_normal(rest.shape)
    elif symmetric:
        dimensions = rank * d1 - rank * (rank - 1) // 2
    if symmetric:
        sizes = np.linalg.eigvalsh((rest + rest.conj().swapaxes(1, 2)) / 2)
        sizes = sizes if semidefinite else np.abs(sizes)
    else:
        sizes = np.linalg.svd(rest, compute_uv=False)
    return _smallest(dimensions, rank, sizes)


def _smallest(dimensions: int, rank: int, sizes: Array) -> tuple[float, float]:
    """Return ``min_τ { dimensions + rank τ² + mean Σ_j max(sizes_j − τ, 0)² }`` and its standard error."""

    def needed(tau: float) -> float:
        return dimensions + rank * tau**2 + float(np.sum(np.maximum(sizes - tau, 0) ** 2) / DRAWS)

    largest = max(float(sizes.max(initial=1.0)), 1.0)
    best = minimize_scalar(needed, bounds=(0, 1.1 * largest), method="bounded", options={"xatol": 1e-6 * largest})
    each = np.sum(np.maximum(sizes - best.x, 0) ** 2, axis=1)
    return float(best.fun), float(each.std(ddof=1) / np.sqrt(DRAWS))


@cache
def statistical_dimension_of_sparse(n: int, sparsity: int) -> float:
    r"""Return the number of Gaussian measurements that the ℓ1 norm needs for a vector with s of n entries not zero.

    ``δ = min_τ { s (1 + τ²) + (n − s) E max(|g| − τ, 0)² }``, g normal, is an upper bound that is sharp up to a few
    units; recovery begins within about ``√n`` of it. A sparsity s above n raises `InputError`.

    References
    ----------
    Amelunxen, Lotz, McCoy, Tropp, Information and Inference 3(3), 2014, Proposition 4.5.

    Examples
    --------
    >>> round(statistical_dimension_of_sparse(80, 4), 1), round(statistical_dimension_of_sparse(80, 80), 1)
    (16.3, 80.0)
    """
    if not 0 <= sparsity <= n:
        raise InputError(f"sparsity is {sparsity}, expected a whole number from 0 to {n}, the length")

    def needed(tau: float) -> float:
        density = np.exp(-(tau**2) / 2) / np.sqrt(2 * np.pi)
        beyond = 2 * ((1 + tau**2) * ndtr(-tau) - tau * density)
        return float(sparsity * (1 + tau**2) + (n - sparsity) * beyond)

    bounds = (0.0, 2 + np.sqrt(2 * np.log(max(n, 2))))
    return float(minimize_scalar(needed, bounds=bounds, method="bounded", options={"xatol": 1e-8}).fun)
