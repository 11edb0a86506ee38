"""Hutch++: the trace on a subspace that holds the large eigenvalues exactly, the rest by Hutchinson's estimator."""

from __future__ import annotations

from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, packed, sphere

__all__ = ["hutch_pp"]


def hutch_pp(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return ``tr Qᵀ H Q`` plus the mean of ``gᵀ H g`` over vectors g orthogonal to Q; Q spans H times random vectors.

    The parameters are those of `hutchinson`.

    References
    ----------
    Meyer, Musco, Musco, Woodruff, "Hutch++: optimal stochastic trace estimation", 2021.
    """
    n = check(operator, max_products, target_std_error, 24)
    limit = max_products or (100 if target_std_error is None else 10**6)
    rank = min((limit if target_std_error is None else min(limit, 48)) // 3, n)
    Q = torch.linalg.qr(operator @ sphere(operator, rank, generator)).Q
    HQ = operator @ Q

    def residual(count: int) -> Tensor:
        G = sphere(operator, count, generator)
        G = G - Q @ (Q.mT @ G)
        length = torch.linalg.vector_norm(G, dim=0).clamp(min=torch.finfo(G.dtype).tiny)
        scaled: Tensor = G * ((n - rank) ** 0.5 / length)
        return scaled

    G = residual(max(8, limit - 2 * rank if target_std_error is None else min(limit, 48) - 2 * rank))
    HG = operator @ G
    while target_std_error is not None and 2 * rank + G.shape[1] < limit:
        if (G * HG).sum(0).std().item() / G.shape[1] ** 0.5 <= target_std_error:
            break
        more = residual(min(G.shape[1], limit - 2 * rank - G.shape[1]))
        G, HG = torch.cat([G, more], 1), torch.cat([HG, operator @ more], 1)

    def statistics(rows: Any) -> tuple[float, float, tuple[float, float]]:
        x = (G[rows] * HG[rows]).sum(0).double()
        error = (x.std() / x.numel() ** 0.5).item()
        value = (Q[rows] * HQ[rows]).sum().item() + x.mean().item()
        half = float(stdtrit(x.numel() - 1, 0.975)) * error
        return value, error, (value - half, value + half)

    return packed("hutch++", 2 * rank + G.shape[1], blocks, statistics)
