"""Covariance estimation from quadratic sketches ``b_i = x_iᵀ Σ x_i``, the energies of data along vectors x_i."""

from collections.abc import Mapping

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator
from flatmin.families.base import Family, Instance, Usual, check_sample, noisy, square
from flatmin.measurements.rank_one import RankOne
from flatmin.parametrizations.gram import Gram
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]


def sample(
    shape: int | tuple[int, int], rank: int, n_measurements: int, *, noise: float = 0.0, seed: int = 0
) -> Instance:
    """Draw Gaussian sketching vectors and a covariance matrix with a Gaussian factor.

    The arguments are those of `flatmin.families.matrix_sensing.sample`, where ``shape`` may also be the dimension d.
    With about ``3 d · rank`` measurements or more, the solution is usually certified to be unique.

    Examples
    --------
    >>> sample(4, 1, 20).problem
    Problem(RankOne(shape=(4, 4), size=20), Gram(rank=None))
    """
    d, _ = check_sample(square(shape), rank, n_measurements, noise)
    require(16.0 * n_measurements * d, "drawing these vectors")
    rng = generator(seed)
    measurement = RankOne(rng.standard_normal((n_measurements, d)))
    U = rng.standard_normal((d, rank))
    return Instance(Problem(measurement, noisy(measurement.forward_factors(U, U), noise, rng), Gram()), U @ U.T)


def _build(arrays: Mapping[str, Array]) -> Problem:
    return Problem(RankOne(arrays["vectors"]), arrays["b"], Gram())


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    assert isinstance(measurement, RankOne)
    return {"vectors": measurement.left, "b": problem.data}


FAMILY = Family(
    name="covariance",
    title="Covariance estimation",
    keys={"vectors": "(m, d) sketching vectors", "b": "(m,) data"},
    build=_build,
    arrays=_arrays,
    sample=sample,
    called={"left": "the key 'vectors'"},
    usual=Usual((20, 20), 2, lambda shape, rank: 4 * shape[0] * max(1, rank)),
    is_square=True,
)
