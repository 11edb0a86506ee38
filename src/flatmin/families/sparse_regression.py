"""Sparse regression: a sparse vector from inner products with Gaussian vectors. The command line does not offer it."""

import numpy as np

from flatmin._core.memory import require
from flatmin._core.validation import generator, is_whole, shown
from flatmin.errors import InputError
from flatmin.families.base import Instance, check_sample, noisy
from flatmin.measurements.dense import Dense
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.problem import Problem

__all__ = ["sample"]


def sample(
    n: int, sparsity: int, n_measurements: int, *, noise: float = 0.0, seed: int = 0, depth: int = 2
) -> Instance:
    """Draw Gaussian sensing vectors, and a sparse vector with Gaussian entries at random positions.

    Parameters
    ----------
    n : int
        Length of the unknown column, of shape (n, 1).
    sparsity : int
        Number of its nonzero entries.
    n_measurements : int
        m. With depth 2, flat minima recover the truth if m is at least a few times ``sparsity · log(n / sparsity)``.
    noise, seed
        As for `flatmin.families.matrix_sensing.sample`.
    depth : int
        The number of factors of `Hadamard`, which does not change the draw.

    Examples
    --------
    >>> sample(20, 2, 12).problem
    Problem(Dense(shape=(20, 1), size=12), Hadamard(depth=2))
    """
    n, _ = check_sample((n, 1), 0, n_measurements, noise)
    if not is_whole(sparsity) or not 0 <= sparsity <= n:
        raise InputError(f"sparsity is {shown(sparsity)}, expected a whole number from 0 to {n}, the length")
    model = Hadamard(depth)
    require(8.0 * n_measurements * n, "drawing these sensing vectors")
    rng = generator(seed)
    measurement = Dense(rng.standard_normal((n_measurements, n)))
    truth = np.zeros((n, 1))
    truth[rng.choice(n, sparsity, replace=False), 0] = rng.standard_normal(sparsity)
    return Instance(Problem(measurement, noisy(measurement.forward(truth), noise, rng), model), truth)
