"""Means of quadratic forms in random vectors, with standard errors and confidence intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

__all__ = ["ALL", "Blocks", "Sample", "Statistics", "summary", "swapped", "variance"]

#: All rows: the whole trace.
ALL = slice(None)
#: Rows of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.
Blocks = Mapping[str, Any]
#: Value, standard error and interval.
Statistics = tuple[float, float, tuple[float, float]]


@dataclass(frozen=True)
class Sample:
    """Exchangeable unbiased estimates of a trace, (k,), the variance of one, and the covariance of two of them."""

    values: Tensor
    variance: float
    covariance: float = 0.0

    @property
    def variance_of_mean(self) -> float:
        """``(variance + (k - 1) covariance) / k``; a negative covariance counts as zero."""
        k = self.values.numel()
        return (self.variance + (k - 1) * max(self.covariance, 0.0)) / k

    @property
    def effective(self) -> float:
        """Effective sample size (Kish): how many independent values would give a mean of this variance, at most k."""
        k, spread = self.values.numel(), self.variance_of_mean
        return min(self.variance / spread, k) if spread > 0 else k


def variance(values: Tensor, squares: Tensor, dimension: int, swaps: float | None = None) -> float:
    """Return the variance of ``vᵀ A v`` for v uniform on the sphere of radius √d, from a few products A v.

    It is ``2d/(d+2) (‖S‖_F² - (tr A)²/d)`` with the symmetric part S of A. If A is symmetric, ``‖A v‖²`` is an unbiased
    estimate of ``‖S‖_F²``, and more accurate than the sample variance: with one dominant eigenvalue and m vectors its
    relative variance is 2/m instead of 14/m. Otherwise ``‖S‖_F² = (‖A‖_F² + tr A²)/2``, where ``swaps`` estimates
    ``tr A²`` (`swapped`), as for the form ``v_bᵀ (H v)_b`` of a block. ``values`` are ``vᵀ A v``, ``squares`` are
    ``‖A v‖²``, each (m,), and the dimension is d.
    """
    if dimension <= 0:
        return 0.0
    k, norm = values.numel(), squares.mean().item()
    square_of_mean = ((values.sum() ** 2 - (values**2).sum()) / max(k * (k - 1), 1)).item()
    if swaps is not None and np.isfinite(swaps):
        norm = (norm + min(max(swaps, 0.0), norm)) / 2
    return 2 * dimension / (dimension + 2) * max(norm - max(square_of_mean, 0.0) / dimension, 0.0)


def swapped(M: Tensor) -> float:
    """Return the mean of ``M_ij M_ji`` over i ≠ j, or NaN: for ``M_ij = v_iᵀ A v_j`` an estimate of ``tr A²``."""
    k = len(M)
    return ((M * M.mT).sum() - (M.diagonal() ** 2).sum()).item() / (k * (k - 1)) if k > 1 else np.nan


def summary(inside: float, *samples: Sample, freedom: int | None = None) -> Statistics:
    """Return a known part plus the mean of all values, its standard error, and a 95 % interval by Student's t.

    The number of degrees of freedom is the number m of vectors, not m − 1, because `variance` uses the squared norms of
    the products. The worst case is one dominant eigenvalue λ: the mean is λc and the standard error λ√(2c/m) with c
    distributed as χ²_m/m, and ``|c - 1| / √(2c/m)`` is below the quantile t_m with probability 0.952 for m = 8 and
    0.950 for m = 34. With many similar eigenvalues intervals are slightly too wide: 0.978 and 0.958. Correlated values
    count by their effective sample size (Kish, "Survey sampling", 1965).

    ``freedom`` limits the number of degrees of freedom. A run that stops once its standard error looks small stops too
    often when it is underestimated; the degrees of freedom are then those of the first look (Stein, "A two-sample test
    for a linear hypothesis whose power is independent of the variance", 1945).
    """
    total = sum(s.values.numel() for s in samples)
    value = inside + sum(s.values.sum().item() for s in samples) / total
    error = sum((s.values.numel() / total) ** 2 * s.variance_of_mean for s in samples) ** 0.5
    effective = max(sum(s.effective for s in samples), 1.0)
    half = float(stdtrit(min(effective, freedom or total), 0.975)) * error
    return value, error, (value - half, value + half)
