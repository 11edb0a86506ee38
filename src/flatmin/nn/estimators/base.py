"""What the estimators share: the operator as they see it, its probes, and the packing of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from flatmin.errors import InputError
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.sample import ALL, Statistics

__all__ = ["Blocks", "Operator", "check", "freedom_of", "grown", "packed", "sphere"]

#: Products that are spent when nothing else is said, and before the first look at the error.
_PRODUCTS, _PILOT = 100, 24

#: Index of the rows of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.
Blocks = Mapping[str, Any]


class Operator(Protocol):
    """A symmetric linear operator on vectors, for instance a dense symmetric tensor."""

    @property
    def shape(self) -> Any:
        """(n, n)."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers, real."""

    @property
    def device(self) -> torch.device:
        """Where the vectors lie."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors (n, k), of the same shape."""


def check(operator: Operator, max_products: int | None, target_std_error: float | None, least: int) -> int:
    """Return the dimension n of an operator; raises `InputError` for limits that cannot be used."""
    shape = tuple(operator.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise InputError(f"the operator has shape {shape}, expected a square one")
    if max_products is not None:
        if isinstance(max_products, bool) or not isinstance(max_products, int | np.integer):
            raise InputError(f"max_products is {max_products!r}, expected a whole number")
        if max_products < least:
            raise InputError(
                f"max_products is {max_products}, expected at least {least}: from fewer no honest interval can be made"
            )
    if target_std_error is not None and not (
        isinstance(target_std_error, int | float | np.number) and 0 < target_std_error < np.inf
    ):
        raise InputError(f"target_std_error is {target_std_error!r}, expected a positive number")
    return int(shape[0])


def sphere(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` vectors, uniform on the sphere of radius √n, as columns.

    They are drawn on the CPU in double precision, so that a seed means the same on every device. The law of ``vᵀ H v``
    then depends on the eigenvalues of H alone.
    """
    V = torch.randn(operator.shape[0], count, generator=generator, dtype=torch.float64, device=generator.device)
    V *= operator.shape[0] ** 0.5 / torch.linalg.vector_norm(V, dim=0)
    return V.to(operator.device, operator.dtype)


def grown(grow: Callable[[int], float], least: int, max_products: int | None, target_std_error: float | None) -> None:
    """Spend products in growing totals until the standard error that ``grow(total)`` returns is small enough.

    Each look at the error is a chance to stop too early, so looks are few: the first after ``_PILOT`` products, the
    others where the last one lets expect the goal, but after a fifth more at least.
    """
    if target_std_error is None:
        grow(max_products or _PRODUCTS)
        return
    limit = np.inf if max_products is None else max_products
    total = int(min(max(_PILOT, least), limit))
    while (error := grow(total)) > target_std_error and total < limit:
        more = min(max((error / target_std_error) ** 2, 1.2), 2.0)
        total = int(min(np.ceil(more * total), limit))


def freedom_of(target_std_error: float | None) -> int | None:
    """Return the most degrees of freedom of an interval, those of the first look; see `sample.summary`."""
    return None if target_std_error is None else _PILOT


def packed(
    method: str,
    n_products: int,
    blocks: Blocks | None,
    statistics: Callable[[Any], Statistics],
) -> TraceEstimate:
    """Return the estimate whose value, standard error and interval on some rows are ``statistics(rows)``."""

    def one(rows: Any, groups: Mapping[str, TraceEstimate] | None = None) -> TraceEstimate:
        value, std_error, interval = statistics(rows)
        if not np.isfinite([value, std_error]).all():
            raise InputError("the operator gave products that are not finite, expected finite numbers")
        return TraceEstimate(value, std_error, interval, n_products, method, groups=groups)

    return one(ALL, None if blocks is None else {name: one(rows) for name, rows in blocks.items()})
