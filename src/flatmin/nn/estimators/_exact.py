"""The exact trace, from the product with every unit vector."""

from typing import Any

import torch
from torch import Tensor

from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate, TraceRequest, packed
from flatmin.nn.estimators.sample import Blocks, Statistics

__all__ = ["exact", "exact_sum"]

#: Number of unit vectors that are multiplied at once.
_VECTORS_AT_ONCE = 64


def exact(request: TraceRequest) -> TraceEstimate:
    """Return ``tr H = Σ e_iᵀ H e_i`` from n products, up to rounding; a limit below n raises `InputError`.

    Examples
    --------
    >>> import torch
    >>> exact(TraceRequest(torch.diag(torch.tensor([1.0, 2.0])))).value
    3.0
    """
    n, operator = request.check(1), request.operator
    if request.max_products is not None and request.max_products < n:
        raise InputError(f"max_products is {request.max_products}, expected at least {n}, one for each row")
    diagonal = torch.empty(n, dtype=torch.float64)
    for start in range(0, n, _VECTORS_AT_ONCE):
        stop = min(start + _VECTORS_AT_ONCE, n)
        E = torch.zeros(n, stop - start, dtype=operator.dtype, device=operator.device)
        E[torch.arange(start, stop), torch.arange(stop - start)] = 1
        diagonal[start:stop] = (operator @ E)[start:stop].diagonal().double().cpu()
    return exact_sum(diagonal, n, request.blocks)


def exact_sum(parts: Tensor, n_products: int, blocks: Blocks | None) -> TraceEstimate:
    """Return the sum of ``parts``, and of those that belong to each block, as an estimate with standard error 0."""

    def statistics(rows: Any) -> Statistics:
        value = parts[rows].sum().item()
        return value, 0.0, (value, value)

    return packed("exact", n_products, blocks, statistics)
