"""The mean of quadratic forms in random vectors, and an interval that tells the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

__all__ = ["ALL", "Sample", "Statistics", "summary", "swapped", "variance"]

#: All rows: the whole trace.
ALL = slice(None)

#: Value, standard error and interval.
Statistics = tuple[float, float, tuple[float, float]]


@dataclass(frozen=True)
class Sample:
    """Exchangeable unbiased estimates of a trace.

    Attributes
    ----------
    values : Tensor
        The estimates, (k,).
    variance : float
        Estimated variance of one.
    covariance : float
        Estimated covariance of two; zero for independent ones.
    """

    values: Tensor
    variance: float
    covariance: float = 0.0

    @property
    def variance_of_mean(self) -> float:
        """Return ``(variance + (k - 1) covariance) / k``; a negative covariance is taken for noise."""
        k = self.values.numel()
        return (self.variance + (k - 1) * max(self.covariance, 0.0)) / k

    @property
    def effective(self) -> float:
        """Return how many independent values have a mean of this variance (Kish): at most as many as there are."""
        k, spread = self.values.numel(), self.variance_of_mean
        return min(self.variance / spread, k) if spread > 0 else k


def variance(values: Tensor, squares: Tensor, dimension: int, swaps: float | None = None) -> float:
    """Return the variance of ``vᵀ A v``, v uniform on the sphere of radius √d, from the products with a few v.

    It is ``2d/(d+2) (‖S‖_F² - (tr A)²/d)``, S the symmetric part of A. If A is symmetric, ``‖A v‖²`` is unbiased for
    ``‖S‖_F²``. That says more than the spread of the values: where one eigenvalue dominates, its relative variance is
    2/m in place of 14/m from m vectors. Else ``‖S‖_F² = (‖A‖_F² + tr A²)/2``, and the second part is `swapped`.

    Parameters
    ----------
    values, squares : Tensor
        ``vᵀ A v`` and ``‖A v‖²``, each (m,).
    dimension : int
        The dimension d.
    swaps : float, optional
        Estimate of ``tr A²`` where A is not symmetric, as in the form ``v_bᵀ (H v)_b`` of a block.
    """
    if dimension <= 0:
        return 0.0
    k, norm = values.numel(), squares.mean().item()
    square_of_mean = ((values.sum() ** 2 - (values**2).sum()) / max(k * (k - 1), 1)).item()
    if swaps is not None and np.isfinite(swaps):
        norm = (norm + min(max(swaps, 0.0), norm)) / 2
    return 2 * dimension / (dimension + 2) * max(norm - max(square_of_mean, 0.0) / dimension, 0.0)


def swapped(M: Tensor) -> float:
    """Return the mean of ``M_ij M_ji`` over i ≠ j: of ``v_iᵀ A v_j · v_jᵀ A v_i`` it is unbiased for ``tr A²``.

    NaN where there is no pair.
    """
    k = len(M)
    return ((M * M.mT).sum() - (M.diagonal() ** 2).sum()).item() / (k * (k - 1)) if k > 1 else np.nan


def summary(inside: float, *samples: Sample, freedom: int | None = None) -> Statistics:
    """Return a known part plus the mean of all values, its standard error, and the interval of Student's t.

    There are as many degrees of freedom as vectors, and not one less, because of how the variance is estimated. The
    worst case is one dominant eigenvalue λ: then the mean is λc and the standard error λ√(2c/m), with c distributed as
    χ²_m/m, and ``|c - 1| / √(2c/m)`` stays below the quantile t_m with probability .952 for m = 8, .950 for m = 34.
    With many eigenvalues alike the variance is known well, and intervals are a little too wide: .978 and .958.
    Of correlated values as many count as independent ones would have a mean of the same variance.

    Parameters
    ----------
    inside : float
        The known part.
    samples : Sample
        What is known about the rest.
    freedom : int, optional
        The most degrees of freedom there may be. Who stops where the error looks small stops too often where it is
        underestimated; as in Stein's procedure there are then no more degrees than at the first look.

    References
    ----------
    Stein, "A two-sample test for a linear hypothesis whose power is independent of the variance", 1945.
    Kish, "Survey sampling", 1965.
    """
    total = sum(s.values.numel() for s in samples)
    value = inside + sum(s.values.sum().item() for s in samples) / total
    error = sum((s.values.numel() / total) ** 2 * s.variance_of_mean for s in samples) ** 0.5
    effective = max(sum(s.effective for s in samples), 1.0)
    half = float(stdtrit(min(effective, freedom or total), 0.975)) * error
    return value, error, (value - half, value + half)
