"""Robust PCA: a matrix of low rank with gross errors in some of the observed cells."""

from collections.abc import Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator, matrix_shape, real_number, shown
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance, Usual, check_sample, noisy
from flatmin.losses import Absolute
from flatmin.measurements.entries import Entries
from flatmin.measurements.identity import Identity
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]

#: Range of the sizes of gross errors, relative to the root mean square of the entries.
ERROR_SIZES = (1.0, 3.0)


def sample(
    shape: tuple[int, int],
    rank: int,
    n_measurements: int | None = None,
    *,
    noise: float = 0.0,
    seed: int = 0,
    corruption: float = 0.1,
) -> Instance:
    """Draw a matrix with Gaussian factors and gross errors of random sign in some of its observed cells.

    The arguments are those of `flatmin.families.matrix_sensing.sample`, and:

    Parameters
    ----------
    n_measurements : int, optional
        m, the number of observed cells, which are drawn uniformly; None observes all cells.
    corruption : float
        Share of the observed cells that get a gross error. The sizes of errors are one to three times the root mean
        square of the entries.

    Examples
    --------
    >>> sample((4, 3), 1).problem
    Problem(Identity(shape=(4, 3), size=12), Product(rank=None), Absolute(weight=None, tau=None))
    """
    cells = int(np.prod(matrix_shape(shape)))
    m = cells if n_measurements is None else n_measurements
    d1, d2 = check_sample(shape, rank, m, noise)
    if m > cells:
        raise InputError(f"{m} measurements were asked for, expected at most the {cells} entries")
    if not 0 <= real_number(corruption) <= 1:
        raise InputError(f"corruption is {shown(corruption)}, expected a number from 0 to 1")
    require(40.0 * cells, "drawing this matrix")
    rng = generator(seed)
    measurement: Entries = Identity((d1, d2))
    if m < cells:
        measurement = Entries(*np.divmod(np.sort(rng.choice(cells, m, replace=False)), d2), (d1, d2))
    L, R = rng.standard_normal((d1, rank)), rng.standard_normal((d2, rank))
    data = measurement.forward_factors(L, R)
    wrong = rng.choice(m, round(corruption * m), replace=False)
    sizes = np.sqrt(np.mean(data**2)) * rng.uniform(*ERROR_SIZES, len(wrong))
    errors = np.zeros(m)
    errors[wrong] = sizes * rng.choice([-1.0, 1.0], len(wrong))
    data = noisy(data, noise, rng) + errors
    return Instance(Problem(measurement, data, loss=Absolute()), L @ R.T)


def _build(arrays: Mapping[str, Array]) -> Problem:
    Y = np.asarray(arrays["Y"])
    if Y.dtype.kind not in "biufc":
        raise InputError(f"Y holds {Y.dtype} values, expected numbers")
    if Y.ndim != 2 or Y.size == 0:
        raise InputError(f"Y has shape {Y.shape}, expected a matrix with at least one row and one column")
    known = ~np.isnan(Y)
    if not known.any():
        raise InputError("Y has no number, expected at least one known cell")
    rows, cols = np.nonzero(known)
    measurement = Identity(Y.shape) if known.all() else Entries(rows, cols, Y.shape)
    return Problem(measurement, Y[known], loss=Absolute())


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    assert isinstance(measurement, Entries)
    return _from_cells(measurement.rows, measurement.cols, problem.data, measurement.shape)


def _from_cells(rows: Array, cols: Array, values: Array, shape: tuple[int, int]) -> dict[str, Array]:
    Y = np.full(shape, np.nan)
    Y[rows, cols] = values
    return {"Y": Y}


FAMILY = Family(
    name="robust-pca",
    title="Robust PCA",
    keys={"Y": "(d1, d2) data, NaN where missing"},
    build=_build,
    arrays=_arrays,
    sample=sample,
    from_cells=_from_cells,
    holes=frozenset({"Y"}),
    parts=lambda problem, solution: dict(solution.parts),
    answers=("matrix", "low_rank"),
    called={"the data b": "the key 'Y'"},
    usual=Usual((40, 40), 2, lambda shape, rank: None),
)
