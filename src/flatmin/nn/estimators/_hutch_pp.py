"""Hutch++: the exact trace on a subspace of large eigenvalues, and Hutchinson's estimator on its complement."""

from typing import Any

import torch

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, max_freedom, packed, spend
from flatmin.nn.estimators.deflation import Deflation
from flatmin.nn.estimators.sample import ALL, Statistics, summary

__all__ = ["hutch_pp"]

#: Fewest vectors that sample the complement, so that the standard error can be estimated.
_MIN_SAMPLE = 8


def hutch_pp(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
    start: Deflation | None = None,
    max_rank: int | None = None,
) -> TraceEstimate:
    """Return ``tr QᵀHQ`` plus the mean of ``gᵀ H g`` over random g orthogonal to Q; Q spans H times random vectors.

    A third of the products find Q, a third are ``H Q``, and a third go to the vectors g. If no eigenvalues stand out,
    as in many indefinite Hessians, the error is up to √3 times that of `hutchinson`, because only a third of the
    products sample the trace.

    Parameters
    ----------
    operator, generator, max_products, target_std_error, blocks
        As in `hutchinson`; at least 10 products.
    start : Deflation, optional
        Vectors that have been multiplied already.
    max_rank : int, optional
        The largest dimension of Q.

    References
    ----------
    Meyer, Musco, Musco, Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA 2021.

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(1.0, 101.0) ** -2)
    >>> estimate = hutch_pp(H, generator=torch.Generator().manual_seed(0), max_products=60)
    >>> abs(estimate.value / H.trace().item() - 1) < 0.01
    True
    """
    n = check(operator, max_products, target_std_error, _MIN_SAMPLE + 2)
    deflation, freedom = start or Deflation(operator, generator), max_freedom(target_std_error)

    def statistics(rows: Any) -> Statistics:
        return summary(deflation.inside(rows), deflation.independent()(rows), freedom=freedom)

    def draw_up_to(total: int) -> float:
        rank = min(total // 3, (total - _MIN_SAMPLE) // 2, n, max_rank or n)
        deflation.draw(total - rank)
        deflation.deflate(rank)
        return statistics(ALL)[1]

    spend(draw_up_to, _MIN_SAMPLE + 2, max_products, target_std_error)
    return packed("hutch++", deflation.n_products, blocks, statistics)
