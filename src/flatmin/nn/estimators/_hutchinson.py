"""Hutchinson's estimator: the mean of quadratic forms in random vectors."""

from typing import Any

import torch
from torch import Tensor

from flatmin.nn.estimators.base import TraceEstimate, TraceRequest, packed, sphere
from flatmin.nn.estimators.sample import ALL, Sample, Statistics, summary, swapped, variance
from flatmin.nn.estimators.spending import at_once, multiplied

__all__ = ["hutchinson"]


def hutchinson(request: TraceRequest) -> TraceEstimate:
    """Return the mean of ``v_iᵀ H v_i`` over random vectors v_i, uniform on the sphere of radius √n.

    With m vectors the variance of this mean is ``2n/(n+2) (‖H‖_F² - (tr H)²/n) / m``, where the mean of ``‖H v_i‖²``
    estimates ``‖H‖_F²``. Single large eigenvalues of either sign make the variance large; without them, no known
    estimator has a smaller error.

    Parameters
    ----------
    request : TraceRequest
        A request that allows at least 8 products.

    References
    ----------
    Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989. Girard, "A fast Monte-Carlo
    cross-validation procedure", 1989 (vectors on the sphere).

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(100.0))
    >>> hutchinson(TraceRequest(H, torch.Generator().manual_seed(0), max_products=50)).covers(4950.0)
    True
    """
    n, operator = request.check(8), request.operator
    wanted = [ALL, *(request.blocks or {}).values()]
    forms: dict[int, list[Tensor]] = {id(rows): [] for rows in wanted}  # for each block: vᵀ H v, ‖H v‖², and pairs
    spent = 0

    def statistics(rows: Any) -> Statistics:
        values, squares, swaps = torch.cat(forms[id(rows)], 1)
        one = variance(values, squares, n, None if rows is ALL else swaps.nanmean().item())
        return summary(0.0, Sample(values, one), freedom=request.max_freedom)

    def draw_up_to(total: int) -> float:
        nonlocal spent
        while spent < total:
            V = sphere(operator, min(at_once(operator), total - spent), request.generator)
            HV = multiplied(operator, V)
            if not HV.shape[1]:
                if spent < 8:
                    raise KeyboardInterrupt
                return 0.0
            new = [_form(V[rows], HV[rows]) for rows in wanted]
            for rows, numbers in zip(wanted, new, strict=True):
                forms[id(rows)].append(numbers)
            spent += V.shape[1]
        return statistics(ALL)[1]

    request.spend(draw_up_to, 8)
    return packed("hutchinson", spent, request.blocks, statistics)


def _form(V: Tensor, HV: Tensor) -> Tensor:
    """Return ``vᵀ H v``, ``‖H v‖²`` and the mean over pairs of `swapped`, (3, m), for some rows of m vectors."""
    M = V.mT @ HV
    pairs = torch.full_like(M[0], swapped(M))
    return torch.stack([M.diagonal(), (HV**2).sum(0), pairs]).double().cpu()
