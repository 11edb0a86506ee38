"""What all trace estimators take and return: `TraceRequest` and `TraceEstimate`, and the random vectors."""

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
#: Number of products before the standard error is first compared with a target.
_FIRST_LOOK = 24


class Operator(Protocol):
    """A symmetric linear operator, (n, n), on vectors of a real dtype, for instance a dense symmetric tensor."""

    shape: Any
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors (n, k), of the same shape."""


@dataclass(frozen=True)
class TraceRequest:
    """An operator whose trace is wanted, and how many products an estimator may spend on it.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n): anything with ``shape``, ``dtype``, ``device`` and ``@``.
    generator : torch.Generator
        Draws the random vectors.
    max_products, target_std_error : int and float, optional
        Largest number of products, 100 by default, and unlimited by default if there is a target; and the standard
        error at which to stop, in the units of the trace.
    blocks : mapping of str to rows, optional
        Diagonal blocks whose traces are wanted as well.
    """

    operator: Operator
    generator: torch.Generator = field(default_factory=torch.Generator)
    max_products: int | None = None
    target_std_error: float | None = None
    blocks: Blocks | None = None

    def check(self, least: int) -> int:
        """Return the dimension n; raise `InputError` for limits out of range or below ``least`` products."""
        n, limit = dimension(self.operator), self.max_products
        if limit is not None and whole_number(limit, "max_products", 1) < least:
            raise InputError(f"max_products is {limit}, expected at least {least}: fewer give no honest interval")
        if self.target_std_error is not None:
            positive(self.target_std_error, "target_std_error")
        return n

    def spend(self, draw_up_to: Callable[[int], float], least: int) -> None:
        """Spend products until the standard error reaches the target, or the number of products its limit.

        Every look at the standard error is a chance to stop too early, so looks are few: after each one, the next total
        is where the target should be reached, and at least a fifth larger. ``draw_up_to(total)`` spends products up to
        a total of at least ``least``, and returns the estimated standard error.
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
        """Largest number of degrees of freedom of an interval, set by the first look; see `sample.summary`."""
        return None if self.target_std_error is None else _FIRST_LOOK


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of the trace of a symmetric operator, with its standard error and a confidence interval.

    ``value`` is unbiased, and exact if ``method`` is "exact"; ``std_error`` is its estimated standard deviation. The
    95 % interval is wider than ``value ± 1.96 std_error``, because the standard error is an estimate itself. ``method``
    is "exact", "hutchinson", "hutch++" or "xtrace"; ``of`` is "hessian", "gauss_newton", or None for any other.
    ``groups`` has estimates for the requested diagonal blocks; if these cover every row once, their values add up to
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


def changed(estimate: TraceEstimate, **fields: Any) -> TraceEstimate:
    """Return an estimate with other values of some fields, which its groups get as well."""
    groups = estimate.groups and {name: replace(group, **fields) for name, group in estimate.groups.items()}
    return replace(estimate, groups=groups, **fields)


def dimension(operator: Operator) -> int:
    """Return the dimension n of an operator; raise `InputError` unless it is square."""
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise InputError(f"the operator has shape {shape}, expected a square one")
    return int(shape[0])


def sphere(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` vectors, uniform on the sphere of radius √n, as columns.

    The distribution of ``vᵀ H v`` then depends on the eigenvalues of H only. The numbers are drawn on the CPU in double
    precision, so that a seed gives the same vectors on every device.
    """
    V = torch.randn(operator.shape[0], count, generator=generator, dtype=torch.float64, device=generator.device)
    V *= operator.shape[0] ** 0.5 / torch.linalg.vector_norm(V, dim=0)
    return V.to(operator.device, operator.dtype)


def packed(
    method: str, n_products: int, blocks: Blocks | None, statistics: Callable[[Any], Statistics]
) -> TraceEstimate:
    """Return the result: ``statistics(rows)`` gives value, standard error and interval for all rows and each block."""

    def estimate(rows: Any, groups: Mapping[str, TraceEstimate] | None = None) -> TraceEstimate:
        value, std_error, interval = statistics(rows)
        if not np.isfinite([value, std_error]).all():
            raise InputError("the operator gave products that are not finite, expected finite numbers")
        return TraceEstimate(value, std_error, interval, n_products, method, groups=groups)

    return estimate(ALL, None if blocks is None else {name: estimate(rows) for name, rows in blocks.items()})
