"""What every trace estimator returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["TraceEstimate"]


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of the trace of a symmetric operator, with what is known about its error.

    Attributes
    ----------
    value : float
        The estimate; unbiased, exact where ``method`` is "exact".
    std_error : float
        Estimated standard deviation of ``value``, in the same units.
    interval : tuple of float
        A 95 % confidence interval (low, high). It is wider than ``value ± 1.96 std_error`` where the error itself is
        uncertain, and reaches further to the side on which a few large eigenvalues would have been missed.
    n_products : int
        Products of the operator with a vector that were spent.
    method : str
        The estimator: "exact", "hutchinson", "hutch++" or "xtrace".
    of : str or None
        What was measured, "hessian" or "gauss_newton"; None for an operator that is neither.
    groups : mapping of str to TraceEstimate, or None
        The same for diagonal blocks, where they were asked for; if they cover every row once, their values add up to
        ``value``.

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
