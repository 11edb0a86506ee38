"""Hutch++ or Hutchinson's estimator, as the matrix demands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check
from flatmin.nn.estimators.deflation import Deflation
from flatmin.nn.estimators.hutch_pp import hutch_pp
from flatmin.nn.estimators.hutchinson import hutchinson

__all__ = ["adaptive"]

#: Products that decide, and products from which there is a choice.
_PILOT, _CHOICE = 8, 24

#: Share of ‖H‖² that the span of seven of those products must hold for more to be worth their price.
_SHARE = 0.25

#: Products that are spent when nothing else is said.
_PRODUCTS = 100


def adaptive(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return the estimate of `hutch_pp` if few directions hold much of H, else that of `hutchinson`; ``method`` says.

    Semidefinite matrices of trained networks are of the first kind, most indefinite Hessians of the second. Eight
    products tell: of each is known how much of it the others do not span. Hutch++ goes on with them; where that share
    is only moderate, as in many indefinite Hessians, Q is made of them alone, which costs eight products more and
    takes about twice the share from ``‖H‖²``. Where it would not pay, Hutchinson's estimator starts afresh, because
    vectors that took part in the choice would bias it (by up to a fifth of a standard error, where the choice is
    close): on 100 products that costs 4 % of accuracy, for matrices without large eigenvalues. The parameters are those
    of `hutchinson`.

    Examples
    --------
    >>> import torch
    >>> for eigenvalues in (torch.arange(1.0, 501.0) ** -1.5, torch.tensor([1.0, -1.0]).repeat(250)):
    ...     H = torch.diag(eigenvalues)
    ...     print(adaptive(H, generator=torch.Generator().manual_seed(0), max_products=100).method)
    hutch++
    hutchinson
    """
    settings: dict[str, Any] = {"target_std_error": target_std_error, "blocks": blocks, "generator": generator}
    check(operator, max_products, target_std_error, 8)
    if max_products is not None and max_products < _CHOICE:
        return hutchinson(operator, max_products=max_products, **settings)
    pilot = Deflation(operator, generator)
    pilot.draw(_PILOT)
    share, later = _spanned(pilot.HV), (max_products or _PRODUCTS) - _PILOT
    if (1 - 2 * share) * later < later - _PILOT:
        most = None if share > _SHARE else _PILOT
        return hutch_pp(operator, max_products=max_products, start=pilot, most=most, **settings)
    found = hutchinson(operator, max_products=max_products and max_products - _PILOT, **settings)
    groups = found.groups and {name: _later(group) for name, group in found.groups.items()}
    return replace(_later(found), groups=groups)


def _later(estimate: TraceEstimate) -> TraceEstimate:
    return replace(estimate, n_products=estimate.n_products + _PILOT)


def _spanned(products: Tensor) -> float:
    """Return the share of the squares of some vectors that lies, for each, in the span of the others."""
    gram = products.double().mT @ products.double()
    whole = gram.diagonal().sum().item()
    if not 0 < whole < float("inf"):
        return 0.0
    gram.diagonal().add_(1e-14 * whole)
    alone: float = (1 / torch.linalg.inv(gram).diagonal()).sum().item()
    return 1 - alone / whole
