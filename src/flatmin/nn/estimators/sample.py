"""Statistics of trace samples: their mean, its standard error, and a confidence interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

__all__ = ["ALL", "LEFT_OUT", "Blocks", "Sample", "Statistics", "at_a_drop", "summary", "swapped", "variance"]

#: Number of vectors that are left out of a basis that ends at a sharp drop of the eigenvalues.
LEFT_OUT = 3
#: A basis ends at a drop if what one vector less leaves is smaller than this number of its smallest eigenvalues.
_DROP = 2.5
#: An eigenvalue below this share of the largest one counts as zero, in rounding errors of the operator.
_ZERO_UNITS = 1e4
#: The rows of the whole operator.
ALL = slice(None)
#: The rows of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.
Blocks = Mapping[str, Any]
#: The value of an estimate, its standard error, and the two ends of its interval.
Statistics = tuple[float, float, tuple[float, float]]


@dataclass(frozen=True)
class Sample:
    """Unbiased estimates of one trace, shape (k,), with their common variance and the covariance of any two of them.

    ``squares``, shape (k,), are estimates of the squared Frobenius norm of the part of the operator that is sampled.
    """

    values: Tensor
    variance: float
    covariance: float = 0.0
    squares: Tensor | None = None

    @property
    def variance_of_mean(self) -> float:
        """The variance of the mean, ``(variance + (k - 1) covariance) / k``; a negative covariance counts as zero."""
        k = self.values.numel()
        return (self.variance + (k - 1) * max(self.covariance, 0.0)) / k

    @property
    def effective(self) -> float:
        """Effective sample size (Kish): the number of independent values whose mean has this variance, at most k."""
        k, spread = self.values.numel(), self.variance_of_mean
        return min(self.variance / spread, k) if spread > 0 else k


def variance(values: Tensor, squares: Tensor, dimension: int, swaps: float | None = None) -> float:
    """Return the variance of ``vᵀ A v`` for v uniform on the sphere of radius √d, estimated from m products A v.

    The variance is ``2d/(d+2) (‖S‖_F² - (tr A)²/d)``, where S is the symmetric part of A. If A is symmetric, the mean
    of ``‖A v‖²`` estimates ``‖S‖_F²`` without bias. The estimate is more accurate than the sample variance: with one
    dominant eigenvalue the relative variance of the estimate is 2/m, and the relative variance of the sample variance
    is 14/m. The form ``v_bᵀ (H v)_b`` of a diagonal block has an A that is not symmetric. For such forms
    ``‖S‖_F² = (‖A‖_F² + tr A²)/2``, and ``swaps`` is an estimate of ``tr A²``, see `swapped`.

    ``values`` are the numbers ``vᵀ A v`` and ``squares`` the numbers ``‖A v‖²``, both (m,). The dimension is d.
    """
    if dimension <= 0:
        return 0.0
    k, norm = values.numel(), squares.mean().item()
    square_of_mean = ((values.sum() ** 2 - (values**2).sum()) / max(k * (k - 1), 1)).item()
    if swaps is not None and np.isfinite(swaps):
        norm = (norm + min(max(swaps, 0.0), norm)) / 2
    return 2 * dimension / (dimension + 2) * max(norm - max(square_of_mean, 0.0) / dimension, 0.0)


def at_a_drop(squares: Tensor, eigenvalues: Tensor, unit: float) -> bool:
    """Return whether the eigenvalues drop sharply right after those that a basis holds.

    If H has rank k and the basis k columns, what the basis holds without one of the vectors is H up to rank one. The
    size of the missing part then differs by orders of magnitude between draws, but not between the vectors of a draw:
    no standard error can be estimated, and 95 % intervals covered 91 %. With `LEFT_OUT` columns less it can be.

    ``squares`` estimate the squared Frobenius norm of the missing part, ``eigenvalues`` are those of the basis, and
    ``unit`` is the rounding error of a product.
    """
    sizes = eigenvalues.abs()
    smallest, largest = float(sizes.min()), float(sizes.max())
    if len(sizes) <= 2 * LEFT_OUT or smallest <= _ZERO_UNITS * unit * largest:
        return False
    return float(squares.mean()) < (_DROP * smallest) ** 2


def swapped(M: Tensor) -> float:
    """Return the mean of ``M_ij M_ji`` over i ≠ j, which for ``M_ij = v_iᵀ A v_j`` estimates ``tr A²``."""
    k = len(M)
    return ((M * M.mT).sum() - (M.diagonal() ** 2).sum()).item() / (k * (k - 1)) if k > 1 else np.nan


def summary(inside: float, *samples: Sample, freedom: int | None = None) -> Statistics:
    """Return the known part ``inside`` plus the mean of all samples, its standard error, and a 95 % interval.

    The interval is Student's. For m vectors it has m degrees of freedom, not m − 1, because `variance` uses the squared
    norms of the products. The worst case is one dominant eigenvalue λ. Then the mean is λc and the standard error
    λ√(2c/m), where c is distributed as χ²_m/m, and the interval covers with probability 0.952 for m = 8 and 0.950 for m
    = 34. With many similar eigenvalues the interval is slightly too wide and covers with probability 0.978 and 0.958.
    Correlated samples count by their effective sample size (Kish, "Survey sampling", 1965).

    ``freedom`` limits the number of degrees of freedom of a run that stops once its standard error is below a target.
    Such a run stops more often when the standard error is underestimated, so the limit is the number of degrees of
    freedom at the first comparison with the target (Stein, "A two-sample test for a linear hypothesis whose power is
    independent of the variance", 1945).
    """
    total = sum(s.values.numel() for s in samples)
    value = inside + sum(s.values.sum().item() for s in samples) / total
    error = sum((s.values.numel() / total) ** 2 * s.variance_of_mean for s in samples) ** 0.5
    effective = max(sum(s.effective for s in samples), 1.0)
    half = float(stdtrit(min(effective, freedom or total), 0.975)) * error
    return value, error, (value - half, value + half)
