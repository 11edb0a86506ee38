"""The exact trace, from the product with every unit vector."""

from typing import Any

from torch import Tensor

from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate, TraceRequest, packed
from flatmin.nn.estimators.diagonal_entries import exact_diagonal
from flatmin.nn.estimators.sample import Blocks, Statistics

__all__ = ["exact", "exact_sum"]


def exact(request: TraceRequest) -> TraceEstimate:
    """Return ``tr H = Σ e_iᵀ H e_i`` from n products, up to rounding; a limit below n raises `InputError`.

    Examples
    --------
    >>> import torch
    >>> exact(TraceRequest(torch.diag(torch.tensor([1.0, 2.0])))).value
    3.0
    """
    n = request.check(1)
    if request.max_products is not None and request.max_products < n:
        raise InputError(f"max_products is {request.max_products}, expected at least {n}, one for each row")
    return exact_sum(exact_diagonal(request.operator), n, request.blocks)


def exact_sum(parts: Tensor, n_products: int, blocks: Blocks | None) -> TraceEstimate:
    """Return the sum of ``parts``, and of those that belong to each block, as an estimate with standard error 0."""

    def statistics(rows: Any) -> Statistics:
        value = parts[rows].sum().item()
        return value, 0.0, (value, value)

    return packed("exact", n_products, blocks, statistics)
