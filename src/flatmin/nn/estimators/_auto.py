"""Automatic choice between Hutch++ and Hutchinson's estimator, after a few pilot products."""

from dataclasses import replace

import torch
from torch import Tensor

from flatmin.nn.estimators._hutch_pp import hutch_pp
from flatmin.nn.estimators._hutchinson import hutchinson
from flatmin.nn.estimators.base import PRODUCTS, TraceEstimate, TraceRequest, changed
from flatmin.nn.estimators.deflation import Deflation

__all__ = ["auto"]

#: Number of pilot products, on which the choice between the estimators is based.
_PILOT = 8
#: With a limit below this number of products no pilot is drawn, and Hutchinson's estimator is used.
_MIN_PRODUCTS = 24
#: Hutchinson's estimator is used if Hutch++ would keep vectors of more bytes than this.
_VECTOR_MEMORY = 1 << 33
#: If the pilot products span more than this share of ‖H‖_F², Hutch++ adds further directions to its subspace.
_LARGE_SHARE = 0.25


def auto(request: TraceRequest) -> TraceEstimate:
    """Return the estimate of `hutch_pp` if few eigenvalues dominate, otherwise that of `hutchinson`.

    The choice is based on eight pilot products H v. The share of each product that lies in the span of the other
    products estimates which part of ``‖H‖_F²`` a subspace of this dimension holds:

    - if the share is large, as for semidefinite matrices of trained networks, Hutch++ continues from the pilot and adds
      further directions;
    - if it is moderate, as for many indefinite Hessians, Hutch++ uses the span of the pilot alone. The products of H
      with this span cost eight more products and remove about twice the share from ``‖H‖_F²``;
    - if it is small, Hutchinson's estimator starts from new vectors, because the pilot vectors, which decided the
      choice, would bias its result by up to a fifth of a standard error. With 100 products the pilot then costs 4 % of
      accuracy.

    Without a pilot, Hutchinson's estimator is used if few products are allowed or if the vectors that Hutch++ keeps
    would need more than 8 GiB. The field ``method`` of the result names the estimator.

    Examples
    --------
    >>> import torch
    >>> for eigenvalues in (torch.arange(1.0, 501.0) ** -1.5, torch.tensor([1.0, -1.0]).repeat(250)):
    ...     print(auto(TraceRequest(torch.diag(eigenvalues), max_products=100)).method)
    hutch++
    hutchinson
    """
    request.check(8)
    limit = request.max_products or (PRODUCTS if request.target_std_error is None else None)
    vectors = 2 * (limit or PRODUCTS) * request.operator.shape[0] * torch.finfo(request.operator.dtype).bits / 8
    if (limit is not None and limit < _MIN_PRODUCTS) or vectors > _VECTOR_MEMORY:
        return hutchinson(request)
    pilot = Deflation(request)
    pilot.draw(_PILOT)
    share, later = _spanned(pilot.HV), (limit or PRODUCTS) - _PILOT
    if (1 - 2 * share) * later < later - _PILOT:
        return hutch_pp(request, start=pilot, max_rank=None if share > _LARGE_SHARE else _PILOT)
    found = hutchinson(replace(request, max_products=limit and limit - _PILOT))
    return changed(found, n_products=found.n_products + _PILOT)


def _spanned(products: Tensor) -> float:
    """Return which share of the sum of squared norms of k vectors (n, k) lies in the span of the other k − 1."""
    gram = products.double().mT @ products.double()
    total = gram.diagonal().sum().item()
    if not 0 < total < float("inf"):
        return 0.0
    gram.diagonal().add_(1e-14 * total)
    outside: float = (1 / torch.linalg.inv(gram).diagonal()).sum().item()
    return 1 - outside / total
