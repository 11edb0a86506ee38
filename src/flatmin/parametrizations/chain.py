"""Chain: linear networks, products ``X = W_N ⋯ W_1`` of any number of matrices."""

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import integers, numeric
from flatmin.errors import InputError
from flatmin.linalg.forward_error import power
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors, Metrics, Parametrization

__all__ = ["Chain"]

#: Largest number of entries of a matrix for which a map is tested for isotropy by its dense Gram matrix.
LARGEST_TESTED = 1000
#: Relative rounding error that is allowed in the test whether measurements are isotropic.
ISOTROPY_ROUNDING = 1e-12
#: Singular values count as zero if they are at most this, times d1 + d2, times the largest singular value.
ROUNDING = float(np.finfo(float).eps)


class _Isotropic(Metric):
    """The metric ``√γ · I`` of isotropic measurements: ``‖A(X)‖² = m γ ‖X‖²`` for every X."""


@dataclass(frozen=True)
class Chain(Parametrization):
    """``X = W_N ⋯ W_1``, a linear network whose N − 1 hidden layers have the given widths.

    The factors are (W_1, …, W_N), the layer that acts on the d2 inputs first; W_l has shape (d_l, d_{l−1}) with
    d_0 = d2, d_N = d1 and the hidden widths between. At every point the Hessian trace is

        (2/m) Σ_l Σ_i ‖(W_N ⋯ W_{l+1})ᵀ A_i (W_{l−1} ⋯ W_1)ᵀ‖².

    Its smallest value over all factors of X is ``4 √(d1 d2) ‖D1 X D2‖_*`` for two layers and, for isotropic
    measurements ``‖A(X)‖² = m γ ‖X‖²`` such as the whole matrix (γ = 1/m), ``2N γ (d1 d2)^(1/N) ‖X‖_*^(2 − 2/N)``. No
    formula is known otherwise.

    Parameters
    ----------
    widths : tuple of int
        Hidden widths d_1 … d_{N−1}; (5,) makes two layers, (5, 5) three.

    Raises
    ------
    InputError
        If there is no hidden layer, or a width is not a positive whole number.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.measurements.Identity((2, 2))
    >>> s = fm.flat_minimum(fm.Problem(A, [2.0, 0.0, 0.0, 2.0], Chain((2, 2))))
    >>> [W.shape for W in s.factors], round(s.flatness.hessian_trace, 6)
    ([(2, 2), (2, 2), (2, 2)], 15.119053)
    """

    has_cone_norm: ClassVar[bool] = False
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        given: Any = self.widths
        widths = integers(given if isinstance(given, tuple | list) else np.atleast_1d(given), "widths")
        if len(widths) == 0:
            raise InputError("widths is empty, expected the width of at least one hidden layer")
        if widths.min() < 1:
            raise InputError(f"widths contains {widths.min()}, expected positive whole numbers")
        object.__setattr__(self, "widths", tuple(int(k) for k in widths))

    @property
    def depth(self) -> int:
        """The number N of layers."""
        return len(self.widths) + 1

    @property
    def power(self) -> float:
        """The exponent ``2 − 2/N`` of the nuclear norm in the fibre minimum."""
        return 2 - 2 / self.depth

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """``W_1 … W_N``."""
        return tuple(f"W_{i + 1}" for i in range(self.depth))

    def check(self, factors: object, shape: tuple[int, int]) -> Factors:
        """Return (W_1, …, W_N) as float64 arrays of shapes (d_l, d_{l−1})."""
        if not isinstance(factors, tuple | list) or len(factors) != self.depth:
            raise InputError(f"the factors of {self!r} are {self.depth} matrices (W_1, …, W_{self.depth})")
        checked = tuple(numeric(W, name) for W, name in zip(factors, self.names, strict=True))
        for name, W, expected in zip(self.names, checked, self._shapes(shape), strict=True):
            if W.shape != expected:
                raise InputError(f"{name} has shape {W.shape}, expected {expected}")
        return checked

    def pair(self, factors: Factors) -> tuple[Array, Array]:
        """Return (P, Q) with ``X = P Qᵀ``, split at the narrowest hidden layer."""
        cut = int(np.argmin(self.widths)) + 1
        return _chained(factors[cut:]), _chained(factors[:cut]).T

    def random(self, shape: tuple[int, int], width: int, rng: np.random.Generator) -> Factors:
        """Return Gaussian layers of the model's own widths."""
        return tuple(rng.standard_normal(layer) for layer in self._shapes(shape))

    def width(self, factors: Factors) -> int:
        """Return the rank of X; singular values that are rounding errors do not count. Hidden layers may be wider."""
        P, Q = self.pair(factors)
        s = self.cone.decompose(P, Q)[1]
        return int(np.count_nonzero(s > ROUNDING * (len(P) + len(Q)) * np.max(s, initial=0.0)))

    def metric(self, measurement: Measurement) -> Metrics:
        """Return the pair (D1, D2) of `Measurement.metric`, of class `_Isotropic` for isotropic measurements."""
        gamma = _gamma(measurement)
        if gamma is None:
            return measurement.metric()
        d1, d2 = measurement.shape
        return _Isotropic(np.full(d1, np.sqrt(gamma))), _Isotropic(np.full(d2, np.sqrt(gamma)))

    def gauss_newton_trace(self, factors: Factors, measurement: Measurement, metric: Metrics) -> float:
        """Return the sum over layers in the class's docstring: X is linear in each single weight."""
        d2, d1 = factors[0].shape[1], factors[-1].shape[0]
        gamma, total = self.isotropy(metric), 0.0
        for layer in range(self.depth):
            behind, ahead = factors[layer + 1 :], factors[:layer]
            if not ahead:
                total += d2 * float(np.sum((metric[0] @ _chained(behind)) ** 2))
            elif not behind:
                total += d1 * float(np.sum((metric[1] @ _chained(ahead).T) ** 2))
            elif gamma is not None:
                total += gamma * float(np.sum(_chained(behind) ** 2) * np.sum(_chained(ahead) ** 2))
            else:
                total += _mean_square(measurement, _chained(behind), _chained(ahead).T)
        return 2 * total

    def fibre_minimum(self, factors: Factors, metric: Metrics) -> float | None:
        """Return the smallest trace over all factors of the same matrix, or None if no formula is known."""
        if self.depth > 2 and self.isotropy(metric) is None:
            return None
        return self.smallest_trace(float(self.singular(factors, metric)[1].sum()), metric)

    def smallest_trace(self, norm: float, metric: Metrics) -> float:
        """Return ``2N γ (d1 d2)^(1/N) (‖Z‖_*/γ)^(2 − 2/N)`` for the nuclear norm of Z; for two layers γ cancels."""
        gamma = self._known_isotropy(metric)
        size = len(metric[0].values) * len(metric[1].values)
        return float(2 * self.depth * gamma * power(size, 1 / self.depth) * power(norm / gamma, self.power))

    def flattest(self, U: Array, s: Array, V: Array, metric: Metrics) -> Factors:
        """Return the flattest factors of ``X = D1⁻¹ U Σ Vᵀ D2⁻¹``.

        The first and the last layer each contain ``Σ^½``, up to a factor. Each layer between them is a multiple of the
        identity matrix of order rank, padded with zeros. Raises `InputError` if a hidden layer is narrower than the
        rank, or no formula is known for these measurements.
        """
        gamma = self._known_isotropy(metric)
        kept = s > ROUNDING * (len(U) + len(V)) * np.max(s, initial=0.0)
        U, s, V = U[:, kept], s[kept], V[:, kept]
        rank, d1, d2 = len(s), len(U), len(V)
        if rank > min(self.widths):
            raise InputError(
                f"the matrix has rank {rank}, expected hidden widths of at least that instead of {self.widths}"
            )
        core, share = 1.0, 1 / np.sqrt(d1 * d2)
        if self.depth > 2 and rank > 0:
            norm = float(s.sum()) / gamma  # ‖X‖_*
            core = float((norm**2 / (d1 * d2)) ** (0.5 / self.depth))
            share = core**2 / norm
        factors = tuple(np.zeros(layer) for layer in self._shapes((d1, d2)))
        factors[0][:rank] = np.sqrt(d2 * share * s)[:, None] * (metric[1].power(-1) @ V).T
        factors[-1][:, :rank] = (metric[0].power(-1) @ U) * np.sqrt(d1 * share * s)
        for W in factors[1:-1]:
            W[np.arange(rank), np.arange(rank)] = core
        return factors

    def balance(self, factors: Factors) -> float:
        """Return ``Σ_l ‖W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ‖_*`` over the hidden layers, which is 0 for balanced layers."""
        gaps = (V.T @ V - W @ W.T for W, V in pairwise(factors))
        return float(sum(np.abs(np.linalg.eigvalsh(gap)).sum() for gap in gaps))

    def _norms(self, factors: Factors) -> tuple[float, float]:
        """Return ``Σ ‖W_l‖²`` and ``N Σ_j σ_j(X)^(2/N)``."""
        norm = float(sum(np.sum(W**2) for W in factors))
        return norm, self.depth * float(np.sum(self.cone.decompose(*self.pair(factors))[1] ** (2 / self.depth)))

    def _shapes(self, shape: tuple[int, int]) -> list[tuple[int, int]]:
        sizes = (shape[1], *self.widths, shape[0])
        return list(zip(sizes[1:], sizes[:-1], strict=True))

    def isotropy(self, metric: Metrics) -> float | None:
        """Return γ if the measurements are isotropic, ``‖A(X)‖² = m γ ‖X‖²``, else None."""
        return float(metric[0].values[0] ** 2) if isinstance(metric[0], _Isotropic) else None

    def _known_isotropy(self, metric: Metrics) -> float:
        gamma = self.isotropy(metric)
        if gamma is None and self.depth > 2:
            raise InputError(
                f"the flattest factors are not known for {self.depth} layers and these measurements, expected two "
                "layers or measurements of the whole matrix such as Identity"
            )
        return 1.0 if gamma is None else gamma  # for two layers γ cancels, so any number will do


def _chained(layers: Factors) -> Array:
    """Return the product of layers, the first one acting first."""
    return reduce(lambda X, W: W @ X, layers)


def _gamma(measurement: Measurement) -> float | None:
    """Return γ if ``‖A(X)‖² = m γ ‖X‖²`` for every X, up to rounding, else None."""
    d1, d2 = measurement.shape
    m = measurement.size
    if m < d1 * d2:
        return None
    rows, cols = measurement.gram_diagonals()
    if rows.ndim == 1 and cols.ndim == 1:
        # For Entries, A*A is diagonal, and the product of A*A with the matrix of ones is its diagonal.
        ones = measurement.adjoint(measurement.forward_factors(np.ones((d1, 1)), np.ones((d2, 1))))
        even = np.ptp(ones) <= ISOTROPY_ROUNDING * np.max(ones) and np.min(ones) > 0
        return float(np.mean(ones)) / m if even else None
    if d1 * d2 > LARGEST_TESTED:
        return None
    flat = measurement.matrices().reshape(m, -1)
    gram = flat.T @ flat
    mean = float(np.trace(gram)) / len(gram)
    alike = mean > 0 and np.max(np.abs(gram - mean * np.eye(len(gram)))) <= ISOTROPY_ROUNDING * mean * m
    return mean / m if alike else None


def _mean_square(measurement: Measurement, L: Array, R: Array) -> float:
    """Return ``(1/m) Σ_i ‖Lᵀ A_i R‖²`` without forming any sensing matrix."""
    L, R = (np.asarray(np.linalg.qr(F.T, mode="r")).T for F in (L, R))  # only F Fᵀ matters: no more columns than rows
    total = 0.0
    for column in R.T:
        products = measurement.products(column[:, None])
        if products is not None:
            total += float(np.sum((products[:, 0] @ L) ** 2))
            continue
        for row in L.T:
            total += float(np.sum(measurement.forward_factors(row[:, None], column[:, None]) ** 2))
    return total / measurement.size
