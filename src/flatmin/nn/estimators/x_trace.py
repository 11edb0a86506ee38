"""XTrace: every random vector serves to find the large eigenvalues and, left out of them, to measure the rest."""

from __future__ import annotations

from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, packed, sphere

__all__ = ["x_trace"]


def x_trace(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return the mean of k estimates, each from one of k vectors deflated by H times the k - 1 others.

    The parameters are those of `hutchinson`; 2k products are spent.

    References
    ----------
    Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", SIMAX 2024.
    """
    n = check(operator, max_products, target_std_error, 16)
    limit = max_products or (100 if target_std_error is None else 10**6)
    most = min(limit // 2, n)
    V = sphere(operator, most if target_std_error is None else min(8, most), generator)
    HV = operator @ V
    while True:
        Q, R = torch.linalg.qr(HV)
        HQ = operator @ Q
        S = torch.linalg.pinv(R.double()).mT
        S = S / torch.linalg.vector_norm(S, dim=0).clamp(min=1e-300)
        x = _leave_one_out(V, HV, Q, HQ, S, slice(None))
        error = (1.4 * x.std() / x.numel() ** 0.5).item()
        if target_std_error is None or error <= target_std_error or x.numel() == most:
            break
        more = sphere(operator, min(x.numel(), most - x.numel()), generator)
        V, HV = torch.cat([V, more], 1), torch.cat([HV, operator @ more], 1)

    def statistics(rows: Any) -> tuple[float, float, tuple[float, float]]:
        x = _leave_one_out(V, HV, Q, HQ, S, rows)
        value, error = x.mean().item(), (1.4 * x.std() / x.numel() ** 0.5).item()
        half = float(stdtrit(x.numel() - 1, 0.975)) * error
        return value, error, (value - half, value + half)

    return packed("xtrace", 2 * V.shape[1], blocks, statistics)


def _leave_one_out(V: Tensor, HV: Tensor, Q: Tensor, HQ: Tensor, S: Tensor, rows: Any) -> Tensor:
    """Return k estimates of the trace on some rows; Q without its direction s_i spans H times the other vectors."""
    W = (Q.mT @ V).double()
    W = W - S * (S * W).sum(0)
    rest, H_rest = V.double() - Q.double() @ W, HV.double() - HQ.double() @ W
    scale = (V.shape[0] - V.shape[1] + 1) / (rest**2).sum(0).clamp(min=1e-300)
    inside = (Q[rows] * HQ[rows]).sum() - ((Q[rows].double() @ S) * (HQ[rows].double() @ S)).sum(0)
    return inside + scale * (rest[rows] * H_rest[rows]).sum(0)
