"""The exact trace, by one product for each unit vector."""

from typing import Any

import torch

from flatmin.errors import InputError
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, packed
from flatmin.nn.estimators.sample import Statistics

__all__ = ["exact"]

#: Unit vectors that are multiplied at once.
_WIDTH = 64


def exact(
    operator: Operator,
    *,
    generator: torch.Generator | None = None,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return ``tr H = Σ e_iᵀ H e_i`` from n products, without error; see `hutchinson` for the parameters.

    Raises
    ------
    InputError
        If ``max_products`` is less than n.

    Examples
    --------
    >>> import torch
    >>> exact(torch.diag(torch.tensor([1.0, 2.0]))).value
    3.0
    """
    n = check(operator, max_products, target_std_error, 1)
    if max_products is not None and max_products < n:
        raise InputError(f"max_products is {max_products}, expected at least {n}, one for each row")
    diagonal = torch.empty(n, dtype=torch.float64)
    for start in range(0, n, _WIDTH):
        stop = min(start + _WIDTH, n)
        E = torch.zeros(n, stop - start, dtype=operator.dtype, device=operator.device)
        E[torch.arange(start, stop), torch.arange(stop - start)] = 1
        diagonal[start:stop] = (operator @ E)[start:stop].diagonal().double().cpu()

    def statistics(rows: Any) -> Statistics:
        value = diagonal[rows].sum().item()
        return value, 0.0, (value, value)

    return packed("exact", n, blocks, statistics)
