"""`TraceEstimate`, the result of every trace estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TraceEstimate"]


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of the trace of a symmetric operator, with its standard error and a confidence interval.

    Attributes
    ----------
    value : float
        The estimate: unbiased, and exact if ``method`` is "exact".
    std_error : float
        Estimated standard deviation of ``value``, in the same units.
    interval : tuple of float
        A 95 % confidence interval (low, high). It is wider than ``value ± 1.96 std_error``, because the standard error
        is an estimate itself.
    n_products : int
        Number of products of the operator with a vector.
    method : str
        The estimator: "exact", "hutchinson", "hutch++" or "xtrace".
    of : str or None
        The operator, "hessian" or "gauss_newton"; None for any other one.
    groups : mapping of str to TraceEstimate, or None
        Estimates for the requested diagonal blocks. If these cover every row once, their values add up to ``value``.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.nn.TraceEstimate(2.0, 0.5, (1.0, 3.0), 10, "hutchinson").covers(2.9)
    True
    """

    value: float
    std_error: float
    interval: tuple[float, float]
    n_products: int
    method: str
    of: str | None = None
    groups: Mapping[str, TraceEstimate] | None = None

    def covers(self, trace: float) -> bool:
        """Return whether the interval contains a number, up to rounding errors."""
        low, high = self.interval
        slack = 1e-9 * max(abs(trace), abs(low), abs(high))
        return low - slack <= trace <= high + slack
