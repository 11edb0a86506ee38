"""Bilinear sensing: a matrix from data ``b_i = x_iᵀ X y_i``, one for each pair of vectors."""

from collections.abc import Mapping

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator
from flatmin.families.base import Family, Instance, check_sample, noisy
from flatmin.measurements.rank_one import RankOne
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]


def sample(shape: tuple[int, int], rank: int, n_measurements: int, *, noise: float = 0.0, seed: int = 0) -> Instance:
    """Draw Gaussian pairs of vectors and a matrix with Gaussian factors.

    The arguments are those of `flatmin.families.matrix_sensing.sample`.

    Examples
    --------
    >>> sample((4, 3), 1, 20).problem
    Problem(RankOne(shape=(4, 3), size=20), Product(rank=None))
    """
    d1, d2 = check_sample(shape, rank, n_measurements, noise)
    require(8.0 * n_measurements * (d1 + d2), "drawing these vectors")
    rng = generator(seed)
    measurement = RankOne(rng.standard_normal((n_measurements, d1)), rng.standard_normal((n_measurements, d2)))
    L, R = rng.standard_normal((d1, rank)), rng.standard_normal((d2, rank))
    return Instance(Problem(measurement, noisy(measurement.forward_factors(L, R), noise, rng)), L @ R.T)


def _build(arrays: Mapping[str, Array]) -> Problem:
    return Problem(RankOne(arrays["left"], arrays["right"]), arrays["b"])


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    assert isinstance(measurement, RankOne)
    return {"left": measurement.left, "right": measurement.right, "b": problem.data}


FAMILY = Family(
    name="bilinear-sensing",
    title="Bilinear sensing",
    keys={"left": "(m, d1) vectors", "right": "(m, d2) vectors", "b": "(m,) data"},
    build=_build,
    arrays=_arrays,
    sample=sample,
)
