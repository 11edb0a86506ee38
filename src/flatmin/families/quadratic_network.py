"""Networks with one hidden layer and quadratic activation: ``y_i = Σ_j v_j (u_jᵀ x_i)²``, ``v_j = ±1``."""

from collections.abc import Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import generator, is_whole, numeric, shown
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance, Usual, check_sample, noisy, square
from flatmin.measurements.rank_one import RankOne
from flatmin.parametrizations.signed_gram import SignedGram
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["FAMILY", "neurons", "predict", "sample"]


def sample(
    shape: int | tuple[int, int],
    rank: int | tuple[int, int],
    n_measurements: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> Instance:
    """Draw Gaussian inputs and a teacher network with Gaussian neurons.

    The truth of the instance is the symmetric matrix ``Σ_j v_j u_j u_jᵀ``.

    Parameters
    ----------
    shape : int or tuple of int
        The number d of inputs, or ``(d, d)``.
    rank : int or tuple of int
        Numbers ``(r₊, r₋)`` of the teacher's neurons with output weight +1 and −1; or their sum, which is divided into
        equal halves, with one more positive neuron if it is odd.
    n_measurements : int
        m, the number of pairs of input and output. Recovery needs a few times ``(r₊ + r₋) d``.
    noise, seed
        As for `flatmin.families.matrix_sensing.sample`.

    Examples
    --------
    >>> sample(4, (1, 1), 30).problem
    Problem(RankOne(shape=(4, 4), size=30), SignedGram(rank=None))
    """
    if isinstance(rank, tuple | list) and not (len(rank) == 2 and all(map(is_whole, rank))):
        raise InputError(f"rank is {shown(rank)}, expected a whole number, or two: neurons with weight +1 and with −1")
    total = sum(rank) if isinstance(rank, tuple | list) else rank
    d, _ = check_sample(square(shape), total, n_measurements, noise)
    plus, minus = rank if isinstance(rank, tuple | list) else ((total + 1) // 2, total // 2)
    if min(plus, minus) < 0:
        raise InputError(f"rank is {shown(rank)}, expected no negative number of neurons")
    require(16.0 * n_measurements * d, "drawing these inputs")
    rng = generator(seed)
    measurement = RankOne(rng.standard_normal((n_measurements, d)))
    U = rng.standard_normal((d, plus + minus))
    signed = U * np.repeat([1.0, -1.0], [plus, minus])
    clean = measurement.forward_factors(U, signed)
    return Instance(Problem(measurement, noisy(clean, noise, rng), SignedGram()), U @ signed.T)


def predict(solution: Solution, inputs: Array) -> Array:
    """Return the outputs (n,) of a recovered network for inputs (n, d), or raise `InputError` for another shape.

    Examples
    --------
    >>> import flatmin as fm
    >>> teacher = sample(6, (1, 1), 60)
    >>> student = fm.flat_minimum(teacher.problem)
    >>> x = np.ones((1, 6))
    >>> bool(abs(predict(student, x) - teacher.truth.sum()).max() < 1e-7)
    True
    """
    P, Q = solution.parametrization.pair(solution.factors)
    inputs = numeric(inputs, "inputs")
    if inputs.ndim != 2 or inputs.shape[1] != len(P):
        raise InputError(f"inputs has shape {inputs.shape}, expected (n, {len(P)})")
    return np.asarray(np.einsum("nk,nk->n", inputs @ P, inputs @ Q))


def neurons(solution: Solution) -> tuple[Array, Array]:
    """Return the hidden neurons u_j of a recovered network, (d, k), and their output weights ±1, (k,).

    The data determine only the matrix ``Σ_j v_j u_j u_jᵀ``. These neurons are its eigenvectors times the roots of the
    absolute eigenvalues, largest first. They are therefore orthogonal.

    Examples
    --------
    >>> import flatmin as fm
    >>> neurons(fm.flat_minimum(sample(6, (1, 1), 60).problem))[1]
    array([-1.,  1.])
    """
    P, Q = solution.parametrization.pair(solution.factors)
    U, s, V = solution.parametrization.cone.decompose(P, Q)
    return U * np.sqrt(s), np.where(np.einsum("ij,ij->j", U, V) > 0, 1.0, -1.0)


def _build(arrays: Mapping[str, Array]) -> Problem:
    return Problem(RankOne(arrays["inputs"]), arrays["outputs"], SignedGram())


def _arrays(problem: Problem) -> dict[str, Array]:
    measurement = problem.measurement
    assert isinstance(measurement, RankOne)
    return {"inputs": measurement.left, "outputs": problem.data}


def _parts(problem: Problem, solution: Solution) -> dict[str, Array]:
    hidden, weights = neurons(solution)
    return {"neurons": hidden, "signs": weights}


FAMILY = Family(
    name="quadratic-network",
    title="Quadratic network",
    keys={"inputs": "(m, d) one input a row", "outputs": "(m,) data"},
    build=_build,
    arrays=_arrays,
    sample=sample,
    parts=_parts,
    called={
        "left": "the key 'inputs'",
        "the data b": "the key 'outputs'",
        "the sensing matrices": "the rows of the key 'inputs'",
    },
    usual=Usual((20, 20), 2, lambda shape, rank: 4 * shape[0] * max(1, rank)),
    is_square=True,
)
