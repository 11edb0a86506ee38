"""The argument and the result of every trace estimator, `TraceRequest` and `TraceEstimate`, and the random vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from flatmin._core.validation import positive, whole_number
from flatmin.errors import InputError
from flatmin.nn.estimators.sample import ALL, Blocks, Statistics

__all__ = ["PRODUCTS", "Operator", "TraceEstimate", "TraceRequest", "changed", "dimension", "packed", "sphere"]

#: Number of products that an estimator spends if neither a limit nor a target is set.
PRODUCTS = 100
#: Number of products after which the standard error is first compared with a target.
_FIRST_LOOK = 24


class Operator(Protocol):
    """A symmetric linear operator of shape (n, n) on real vectors, for instance a dense symmetric tensor."""

    shape: Any
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the products with k vectors; argument and result have shape (n, k)."""


@dataclass(frozen=True)
class TraceRequest:
    """An operator whose trace is wanted, with the number of products that an estimator may spend on it.

    Parameters
    ----------
    operator : Operator
        A symmetric operator of shape (n, n): any object with ``shape``, ``dtype``, ``device`` and ``@``.
    generator : torch.Generator
        The generator of the random vectors.
    max_products : int, optional
        Largest number of products of H with a vector. The default is 100, or no limit if there is a target.
    target_std_error : float, optional
        Standard error at which the estimator stops, in the units of the trace.
    blocks : mapping of str to rows, optional
        The diagonal blocks whose traces are wanted as well: a slice or a tensor of row numbers for each.
    """

    operator: Operator
    generator: torch.Generator = field(default_factory=torch.Generator)
    max_products: int | None = None
    target_std_error: float | None = None
    blocks: Blocks | None = None

    def check(self, least: int) -> int:
        """Return the dimension n. Limits that are out of range, or below ``least`` products, raise `InputError`."""
        n, limit = dimension(self.operator), self.max_products
        if limit is not None and whole_number(limit, "max_products", 1) < least:
            raise InputError(f"max_products is {limit}, expected at least {least}; fewer give no reliable interval")
        if self.target_std_error is not None:
            positive(self.target_std_error, "target_std_error")
        return n

    def spend(self, draw_up_to: Callable[[int], float], least: int) -> None:
        """Let an estimator multiply vectors until its standard error reaches the target or their number the limit.

        ``draw_up_to(total)`` multiplies vectors until the number of products is ``total``, and returns the estimated
        standard error; the smallest ``total`` is ``least``. Each comparison with the target may stop too early, because
        the standard error is itself an estimate. So comparisons are few: the next total is the one at which the target
        should be reached, and at least a fifth larger than the last.
        """
        target = self.target_std_error
        if target is None:
            draw_up_to(self.max_products or PRODUCTS)
            return
        limit = np.inf if self.max_products is None else self.max_products
        total = int(min(max(_FIRST_LOOK, least), limit))
        while (error := draw_up_to(total)) > target and total < limit:
            more = min(max((error / target) ** 2, 1.2), 2.0)
            total = int(min(np.ceil(more * total), limit))

    @property
    def max_freedom(self) -> int | None:
        """Largest number of degrees of freedom of the interval, if there is a target; see `sample.summary`."""
        return None if self.target_std_error is None else _FIRST_LOOK


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of the trace of a symmetric operator, with its standard error and a confidence interval.

    ``value`` is unbiased, and exact if ``method`` is "exact". ``std_error`` is its estimated standard deviation. The
    95 % interval is wider than ``value ± 1.96 std_error``, because the standard error is itself an estimate. ``method``
    is "exact", "hutchinson", "hutch++", "xtrace" or "xnystrace". ``of`` is "hessian", "gauss_newton", or None for any
    other operator. ``groups`` has an estimate for each requested diagonal block. If the blocks contain every row once,
    their values add up to ``value``.

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


def changed(estimate: TraceEstimate, **fields: Any) -> TraceEstimate:
    """Return an estimate with other values of some fields; the estimates in its groups get the same values."""
    groups = estimate.groups and {name: replace(group, **fields) for name, group in estimate.groups.items()}
    return replace(estimate, groups=groups, **fields)


def dimension(operator: Operator) -> int:
    """Return the dimension n of an operator; raise `InputError` unless it is square."""
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise InputError(f"the operator has shape {shape}, expected a square one")
    return int(shape[0])


def sphere(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` random vectors, uniform on the sphere of radius √n, as columns.

    With such vectors the distribution of ``vᵀ H v`` depends on H only through its eigenvalues. The numbers are drawn on
    the CPU in double precision, so that a seed gives the same vectors on every device.
    """
    V = torch.randn(operator.shape[0], count, generator=generator, dtype=torch.float64, device=generator.device)
    V *= operator.shape[0] ** 0.5 / torch.linalg.vector_norm(V, dim=0)
    return V.to(operator.device, operator.dtype)


def packed(
    method: str, n_products: int, blocks: Blocks | None, statistics: Callable[[Any], Statistics]
) -> TraceEstimate:
    """Return the estimate for all rows and for each block; ``statistics(rows)`` computes its numbers from some rows."""

    def estimate(rows: Any, groups: Mapping[str, TraceEstimate] | None = None) -> TraceEstimate:
        value, std_error, interval = statistics(rows)
        if not np.isfinite([value, std_error]).all():
            raise InputError("the operator gave products that are not finite, expected finite numbers")
        return TraceEstimate(value, std_error, interval, n_products, method, groups=groups)

    return estimate(ALL, None if blocks is None else {name: estimate(rows) for name, rows in blocks.items()})
