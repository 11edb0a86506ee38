"""Matrix completion: a matrix from some of its entries."""

from collections.abc import Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator, matrix_shape
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance, Usual, check_sample, noisy
from flatmin.measurements.entries import Entries
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]

#: Smallest number of vectors of length d1 + d2 that a solver keeps in memory.
MIN_VECTORS = 40


def sample(shape: tuple[int, int], rank: int, n_measurements: int, *, noise: float = 0.0, seed: int = 0) -> Instance:
    """Draw a matrix with Gaussian factors, and distinct entries of it uniformly.

    ``n_measurements`` is at most d1·d2; the arguments are those of `flatmin.families.matrix_sensing.sample`.

    Examples
    --------
    >>> sample((4, 3), 1, 8).problem
    Problem(Entries(shape=(4, 3), size=8), Product(rank=None))
    """
    d1, d2 = check_sample(shape, rank, n_measurements, noise)
    if n_measurements > d1 * d2:
        raise InputError(f"{n_measurements} measurements were asked for, expected at most the {d1 * d2} entries")
    require(16.0 * d1 * d2, "drawing this matrix")
    rng = generator(seed)
    cells = np.sort(rng.choice(d1 * d2, n_measurements, replace=False))
    measurement = Entries(*np.divmod(cells, d2), (d1, d2))
    L, R = rng.standard_normal((d1, rank)), rng.standard_normal((d2, rank))
    return Instance(Problem(measurement, noisy(measurement.forward_factors(L, R), noise, rng)), L @ R.T)


def _build(arrays: Mapping[str, Array]) -> Problem:
    require(MIN_VECTORS * 8.0 * sum(matrix_shape(arrays["shape"])), "solving a problem of this shape")
    measurement = Entries(arrays["rows"], arrays["cols"], arrays["shape"])
    if np.shape(arrays["values"]) != (measurement.size,):
        found = np.shape(arrays["values"])
        raise InputError(f"values has shape {found}, expected ({measurement.size},): one for each of rows and cols")
    return Problem(measurement, arrays["values"])


def _from_cells(rows: Array, cols: Array, values: Array, shape: tuple[int, int]) -> dict[str, Array]:
    return {"rows": rows, "cols": cols, "values": values, "shape": np.array(shape)}


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    assert isinstance(measurement, Entries)
    return _from_cells(measurement.rows, measurement.cols, problem.data, measurement.shape)


def _enough(shape: tuple[int, int], rank: int) -> int:
    """Return five times the degrees of freedom, or more if this is too few to observe all rows and columns often."""
    d1, d2 = shape
    several = 4 * max(shape) * np.log(max(shape))
    return max(1, min(d1 * d2, max(5 * rank * (d1 + d2 - rank), int(several))))


FAMILY = Family(
    name="matrix-completion",
    title="Matrix completion",
    keys={
        "rows": "(m,) row indices from 0",
        "cols": "(m,) column indices from 0",
        "values": "(m,) data",
        "shape": "(2,) the shape d1, d2",
    },
    build=_build,
    arrays=_arrays,
    sample=sample,
    from_cells=_from_cells,
    usual=Usual(measurements=_enough),
)
