"""Random instances of every model in small integers, whose data are exact, and the test of a proved point against them.

All data are integers far below 2⁵³, so floating-point numbers hold them without rounding.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.base import Instance
from flatmin.losses import Absolute
from flatmin.measurements import Dense, Entries, RankOne
from flatmin.measurements.identity import Identity
from flatmin.parametrizations.gram import Gram
from flatmin.parametrizations.signed_gram import SignedGram
from flatmin.problem import Problem
from flatmin.proofs.exact import Proof

__all__ = ["MODELS", "Model", "is_truth", "sample"]

#: Standard deviation of the Gaussian numbers that are rounded to integers.
SPREAD = 4
#: Entries of the factors of a truth; without zeros no row or column of the truth vanishes.
FACTORS = (-3, -2, -1, 1, 2, 3)
#: Sizes of gross errors, relative to the root mean square of the table.
ERRORS = (1.0, 3.0)
#: Proved points whose factors, and sums of their products, are integers below this are multiplied without rounding.
EXACT = 2.0**53
#: Cores of proved points are multiples of 1/CORE.
CORE = 256


@dataclass(frozen=True)
class Model:
    """A model with integer instances.

    Attributes
    ----------
    family : str
        The family, which defines the error of a solution.
    title : str
        The name in figures.
    rank : int
        The rank of the truths.
    draw : callable
        ``draw(d, rank, m, rng)`` returns an instance.
    among : str
        The matrices among which truths are found, as for `flatmin.lab.descent_cones.statistical_dimension`.
    """

    family: str
    title: str
    rank: int
    draw: Callable[[int, int, int, np.random.Generator], Instance]
    among: str = "all"

    @property
    def is_hermitian(self) -> bool:
        """Whether matrices are symmetric or Hermitian."""
        return self.among != "all"


def sample(name: str, d: int, m: int, seed: int) -> Instance:
    """Draw an instance of a model with d×d matrices and m measurements.

    In completion each cell is observed with probability ``m/d²``; in robust PCA m cells have no gross error.

    Examples
    --------
    >>> sample("signs", 4, 20, 0).problem
    Problem(Dense(shape=(4, 4), size=20), Product(rank=None))
    """
    model = MODELS[name]
    return model.draw(d, model.rank, m, np.random.default_rng(seed))


def is_truth(proof: Proof, truth: Array) -> bool:
    """Return whether the point of a proof is exactly this matrix, or ``s s*`` of this signal s, of integers.

    The point of a theorem T about integer data is a product ``L C R*`` of integer matrices and a core of multiples of
    1/256. Such a product is computed without rounding.
    """
    point = json.loads(proof.text)["point"]
    if point is None:
        return not np.any(truth)
    factors = {name: _decoded(point[name]) for name in "LCRU" if name in point}
    L, R = (factors[name] if name in factors else factors["U"] for name in "LR")
    C = factors.get("C", np.eye(L.shape[1]))
    whole = all(np.array_equal(values, np.round(values)) for values in (L, CORE * C, R))
    largest = np.abs(L).sum(axis=1).max() * np.abs(C).max() * np.abs(R).sum(axis=1).max()
    matrix = np.outer(truth, truth.conj()) if truth.ndim == 1 else truth
    return bool(whole and 4 * CORE * largest < EXACT and np.array_equal(L @ C @ R.conj().T, matrix))


def _decoded(array: dict[str, Any]) -> Array:
    """Return an array of a proof."""
    kinds = {"f8": "<f8", "c16": "<c16", "i8": "<i8"}
    return np.frombuffer(base64.b64decode(array["base64"]), kinds[array["dtype"]]).reshape(array["shape"])


def _gaussian(rng: np.random.Generator, *shape: int) -> Array:
    return np.round(SPREAD * rng.standard_normal(shape)) + 0.0


def _factor(rng: np.random.Generator, d: int, rank: int) -> Array:
    """Draw a factor of full rank."""
    while True:
        found = rng.choice(FACTORS, (d, rank)).astype(float)
        if np.linalg.matrix_rank(found) == rank:
            return found


def _matrix(rng: np.random.Generator, d: int, rank: int) -> Array:
    return _factor(rng, d, rank) @ _factor(rng, d, rank).T


def _gaussian_sensing(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    truth, A = _matrix(rng, d, rank), Dense(_gaussian(rng, m, d, d))
    return Instance(Problem(A, A.forward(truth)), truth)


def _signs(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    truth, A = _matrix(rng, d, rank), Dense(rng.choice([-1.0, 1.0], (m, d, d)))
    return Instance(Problem(A, A.forward(truth)), truth)


def _bilinear(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    truth, A = _matrix(rng, d, rank), RankOne(_gaussian(rng, m, d), _gaussian(rng, m, d))
    return Instance(Problem(A, A.forward(truth)), truth)


def _completion(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    truth, seen = _matrix(rng, d, rank), rng.random((d, d)) < m / d**2
    rows, cols = np.nonzero(seen)
    return Instance(Problem(Entries(rows, cols, (d, d)), truth[rows, cols]), truth)


def _quadratic_network(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    U, A = _factor(rng, d, rank), RankOne(_gaussian(rng, m, d))
    truth = U * np.where(np.arange(rank) < (rank + 1) // 2, 1.0, -1.0) @ U.T
    return Instance(Problem(A, A.forward(truth), SignedGram()), truth)


def _covariance(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    U, A = _factor(rng, d, rank), RankOne(_gaussian(rng, m, d))
    return Instance(Problem(A, A.forward(U @ U.T), Gram()), U @ U.T)


def _phase_retrieval(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    A = RankOne(_gaussian(rng, m, d) + 1j * _gaussian(rng, m, d))
    signal = rng.choice(FACTORS, d) + 1j * rng.choice(FACTORS, d)
    return Instance(Problem(A, A.forward(np.outer(signal, signal.conj())), Gram()), signal)


def _robust_pca(d: int, rank: int, m: int, rng: np.random.Generator) -> Instance:
    truth, wrong = _matrix(rng, d, rank), rng.choice(d * d, d * d - m, replace=False)
    size = np.linalg.norm(truth) / d
    errors = np.zeros(d * d)
    errors[wrong] = np.ceil(size * rng.uniform(*ERRORS, len(wrong))) * rng.choice([-1.0, 1.0], len(wrong))
    return Instance(Problem(Identity((d, d)), truth.reshape(-1) + errors, loss=Absolute()), truth)


MODELS = {
    "gaussian": Model("matrix-sensing", "Gaussian integers in sensing", 2, _gaussian_sensing),
    "signs": Model("matrix-sensing", "Signs ±1 in sensing", 2, _signs),
    "bilinear": Model("bilinear-sensing", "Bilinear sensing", 2, _bilinear),
    "completion": Model("matrix-completion", "Completion", 2, _completion),
    "quadratic-network": Model("quadratic-network", "Quadratic networks", 3, _quadratic_network, "symmetric"),
    "covariance": Model("covariance", "Covariance estimation", 3, _covariance, "semidefinite"),
    "phase-retrieval": Model("phase-retrieval", "Phase retrieval", 1, _phase_retrieval, "hermitian semidefinite"),
    "robust-pca": Model("robust-pca", "Robust PCA", 1, _robust_pca),
}
