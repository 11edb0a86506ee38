"""Hutchinson's estimator: the mean of quadratic forms in random vectors."""

from __future__ import annotations

from typing import Any

import torch
from scipy.special import stdtrit

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, packed, sphere

__all__ = ["hutchinson"]


def hutchinson(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return the mean of ``v_iᵀ H v_i`` over vectors v_i uniform on the sphere of radius √n.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n).
    generator : torch.Generator
        Draws the vectors.
    max_products : int, optional
        Products that may be spent; 100 if there is no limit of either kind.
    target_std_error : float, optional
        The estimator stops when the standard error is this small, in the units of the trace.
    blocks : mapping of str to rows, optional
        Diagonal blocks whose traces are wanted as well.

    References
    ----------
    Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989.
    """
    check(operator, max_products, target_std_error, 8)
    limit = max_products or (100 if target_std_error is None else 10**6)
    count = limit if target_std_error is None else min(16, limit)
    V = sphere(operator, count, generator)
    HV = operator @ V
    while True:
        x = (V * HV).sum(0).double()
        error = (x.std() / x.numel() ** 0.5).item()
        if target_std_error is None or error <= target_std_error or x.numel() == limit:
            break
        more = sphere(operator, min(x.numel(), limit - x.numel()), generator)
        V, HV = torch.cat([V, more], 1), torch.cat([HV, operator @ more], 1)

    def statistics(rows: Any) -> tuple[float, float, tuple[float, float]]:
        x = (V[rows] * HV[rows]).sum(0).double()
        value, error = x.mean().item(), (x.std() / x.numel() ** 0.5).item()
        half = float(stdtrit(x.numel() - 1, 0.975)) * error
        return value, error, (value - half, value + half)

    return packed("hutchinson", V.shape[1], blocks, statistics)
