"""Matrix sensing: a matrix from its inner products with dense sensing matrices."""

from collections.abc import Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator, matrix_shape
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance, check_sample, noisy
from flatmin.measurements.dense import Dense
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]


def sample(shape: tuple[int, int], rank: int, n_measurements: int, *, noise: float = 0.0, seed: int = 0) -> Instance:
    """Draw Gaussian sensing matrices and a matrix with Gaussian factors.

    Parameters
    ----------
    shape : tuple of int
        ``(d1, d2)``.
    rank : int
        Rank of the truth.
    n_measurements : int
        m. Flat minima recover the truth if m is at least a few times ``rank · (d1 + d2)``.
    noise : float
        Standard deviation of the noise, relative to the root mean square of the clean data.
    seed : int
        Seed of the draw.

    Examples
    --------
    >>> sample((4, 3), 1, 20).problem
    Problem(Dense(shape=(4, 3), size=20), Product(rank=None))
    """
    d1, d2 = check_sample(shape, rank, n_measurements, noise)
    require(8.0 * n_measurements * d1 * d2, "drawing these sensing matrices")
    rng = generator(seed)
    measurement = Dense(rng.standard_normal((n_measurements, d1, d2)))
    truth = rng.standard_normal((d1, rank)) @ rng.standard_normal((rank, d2))
    return Instance(Problem(measurement, noisy(measurement.forward(truth), noise, rng)), truth)


def _build(arrays: Mapping[str, Array]) -> Problem:
    A = np.asarray(arrays["A"])
    if "shape" not in arrays:
        if A.ndim == 2:
            raise InputError(
                f"the key 'A' has shape {A.shape}, expected (m, d1, d2); to read each row as a matrix, give its shape "
                "with --shape D1,D2 or the key 'shape'"
            )
        return Problem(Dense(A), arrays["b"])
    d1, d2 = matrix_shape(arrays["shape"])
    if A.ndim not in (2, 3) or A.shape[1:] not in ((d1 * d2,), (d1, d2)):
        raise InputError(f"the key 'A' has shape {A.shape}, expected (m, {d1 * d2}) or (m, {d1}, {d2}) for this shape")
    return Problem(Dense(A.reshape(-1, d1, d2)), arrays["b"])


def _arrays(problem: Problem) -> dict[str, Array]:
    return {"A": problem.measurement.matrices(), "b": problem.data}


FAMILY = Family(
    name="matrix-sensing",
    title="Matrix sensing",
    keys={
        "A": "(m, d1, d2) sensing matrices, or (m, d1·d2) with a shape",
        "b": "(m,) data",
        "shape": "(2,) the shape d1, d2; optional",
    },
    optional=frozenset({"shape"}),
    build=_build,
    arrays=_arrays,
    sample=sample,
)
