"""Trace estimators share this: the operator's interface, probe vectors, the spending of products, and the result."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from flatmin._core.validation import positive, whole_number
from flatmin.errors import InputError
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.sample import ALL, Statistics

__all__ = ["PRODUCTS", "Blocks", "Operator", "check", "max_freedom", "packed", "spend", "sphere"]

#: Products that an estimator spends when neither a limit nor a target is set.
PRODUCTS = 100

#: With a target: products before the standard error is estimated for the first time.
_FIRST_LOOK = 24

#: Row indices of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.
Blocks = Mapping[str, Any]


class Operator(Protocol):
    """A symmetric linear operator on vectors, for instance a dense symmetric tensor."""

    @property
    def shape(self) -> Any:
        """(n, n)."""

    @property
    def dtype(self) -> torch.dtype:
        """Real dtype of the vectors."""

    @property
    def device(self) -> torch.device:
        """Device of the vectors."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors (n, k), of the same shape."""


def check(operator: Operator, max_products: int | None, target_std_error: float | None, least: int) -> int:
    """Return the dimension n of an operator; raise `InputError` unless it is square and the limits are usable."""
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise InputError(f"the operator has shape {shape}, expected a square one")
    if max_products is not None and whole_number(max_products, "max_products", 1) < least:
        raise InputError(f"max_products is {max_products}, expected at least {least}: fewer give no honest interval")
    if target_std_error is not None:
        positive(target_std_error, "target_std_error")
    return int(shape[0])


def sphere(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` vectors, uniform on the sphere of radius √n, as columns.

    The distribution of ``vᵀ H v`` then depends on the eigenvalues of H only. The numbers are drawn on the CPU in double
    precision, so that a seed gives the same vectors on every device.
    """
    V = torch.randn(operator.shape[0], count, generator=generator, dtype=torch.float64, device=generator.device)
    V *= operator.shape[0] ** 0.5 / torch.linalg.vector_norm(V, dim=0)
    return V.to(operator.device, operator.dtype)


def spend(draw_up_to: Callable[[int], float], least: int, max_products: int | None, target: float | None) -> None:
    """Spend products until the standard error reaches a target, or the number of products its limit.

    Every look at the standard error is a chance to stop too early, so looks are few: after each one, the next total is
    where the target should be reached, and at least a fifth larger.

    Parameters
    ----------
    draw_up_to : callable
        Spends products up to a total, and returns the estimated standard error.
    least : int
        The smallest total that the estimator can work with.
    max_products, target
        The limit and the target; without a target the limit is spent at once.
    """
    if target is None:
        draw_up_to(max_products or PRODUCTS)
        return
    limit = np.inf if max_products is None else max_products
    total = int(min(max(_FIRST_LOOK, least), limit))
    while (error := draw_up_to(total)) > target and total < limit:
        more = min(max((error / target) ** 2, 1.2), 2.0)
        total = int(min(np.ceil(more * total), limit))


def max_freedom(target_std_error: float | None) -> int | None:
    """Return the largest number of degrees of freedom of an interval, set by the first look; see `sample.summary`."""
    return None if target_std_error is None else _FIRST_LOOK


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
