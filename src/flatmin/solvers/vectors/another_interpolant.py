"""Search for a second positive semidefinite matrix that fits, which refutes uniqueness."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.measurements import Measurement
from flatmin.solvers.vectors.amplitude_steps import Search, descend
from flatmin.solvers.vectors.amplitudes import root_mean_square

__all__ = ["another_interpolant"]

#: Relative residual of an interpolant.
FIT = 1e-10
#: Largest number of steps of a search.
STEPS = 96
#: Relative distance from which two interpolants are different.
DISTINCT = 1e-3


def another_interpolant(
    measurement: Measurement, b: Array, U: Array, *, clock: Clock, seed: int = 0, attempts: int = 3
) -> Array | None:
    """Look for a second positive semidefinite matrix that fits the data, from wide random starts.

    Parameters
    ----------
    measurement : Measurement
        A map with ``is_rank_one``.
    b : ndarray, shape (m,)
        The data.
    U : ndarray, shape (d, k)
        The factor of the known interpolant.
    attempts : int
        How many starts to try.

    Returns
    -------
    ndarray or None
        A factor (d, k') that fits to a relative residual of 1e-10 and whose matrix lies at a relative distance of at
        least 1e-3 from ``U U*``, or None where none was found.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> rng = np.random.default_rng(0)
    >>> A, s = RankOne(rng.standard_normal((12, 8))), rng.standard_normal((8, 1))
    >>> W = another_interpolant(A, A.forward_factors(s, s), s, clock=Clock())
    >>> bool(np.allclose(A.forward_factors(W, W), A.forward_factors(s, s))), np.allclose(W @ W.T, s @ s.T)
    (True, False)
    """
    d, b = measurement.shape[0], np.asarray(b, dtype=float)
    size = root_mean_square(b)
    if size == 0:
        return None
    search = Search(measurement, b / size, np.ones_like(b), clock, d)
    rng = np.random.default_rng(seed)
    enough = (k for k in range(1, d + 1) if search.freedom(k) >= measurement.size)
    width = min(next(enough, d) + 2, d)
    for _ in range(attempts):
        W = rng.standard_normal((d, width)).astype(measurement.dtype)
        if np.iscomplexobj(W):
            W = W + 1j * rng.standard_normal((d, width))
        point = descend(search, search.at(search.scaled(W)), STEPS)
        found = np.asarray(point.U * np.sqrt(size))
        if search.residual(point) <= FIT and _distance(found, U) >= DISTINCT:
            return found
        if clock.exhausted:
            break
    return None


def _distance(U: Array, W: Array) -> float:
    """Return ``‖UU* − WW*‖_F / ‖WW*‖_F`` from the small Gram matrices."""
    grams = np.array([np.linalg.norm(P.conj().T @ Q) ** 2 for P, Q in ((U, U), (W, W), (U, W))])
    return float(np.sqrt(np.maximum(grams @ [1, 1, -2], 0) / max(float(grams[1]), 1e-300)))
