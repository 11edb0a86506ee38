"""Hutch++: the exact trace on a subspace of large eigenvalues, and Hutchinson's estimator on its complement."""

from flatmin.nn.estimators.base import TraceEstimate, TraceRequest
from flatmin.nn.estimators.deflation import MIN_SAMPLE, Deflation

__all__ = ["hutch_pp"]


def hutch_pp(request: TraceRequest, *, start: Deflation | None = None, max_rank: int | None = None) -> TraceEstimate:
    """Return ``tr QᵀHQ`` plus the mean of ``gᵀ H g`` over random vectors g orthogonal to Q.

    The columns of Q are an orthonormal basis of H times random vectors. A third of the products find Q, a third are
    ``H Q``, and a third are those with the vectors g. If no eigenvalue is much larger than the others, as in many
    indefinite Hessians, the error is up to √3 times that of `hutchinson`, because only a third of the products sample
    the trace.

    Parameters
    ----------
    request : TraceRequest
        A request that allows at least 10 products.
    start : Deflation, optional
        The vectors of this request that have already been multiplied by H.
    max_rank : int, optional
        The largest number of columns of Q.

    References
    ----------
    Meyer, Musco, Musco, Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA 2021.

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(1.0, 101.0) ** -2)
    >>> estimate = hutch_pp(TraceRequest(H, torch.Generator().manual_seed(0), max_products=60))
    >>> abs(estimate.value / H.trace().item() - 1) < 0.01
    True
    """
    n = request.check(MIN_SAMPLE + 2)
    return (start or Deflation(request)).estimate(
        "hutch++", lambda total: min(total // 3, (total - MIN_SAMPLE) // 2, n, max_rank or n), MIN_SAMPLE + 2
    )
