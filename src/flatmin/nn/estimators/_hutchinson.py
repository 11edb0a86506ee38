"""Hutchinson's estimator: the mean of quadratic forms in random vectors."""

from typing import Any

import torch
from torch import Tensor

from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators.base import Blocks, Operator, check, max_freedom, packed, spend, sphere
from flatmin.nn.estimators.sample import ALL, Sample, Statistics, summary, swapped, variance

__all__ = ["hutchinson"]

#: Vectors that are multiplied at once; they are not kept.
_WIDTH = 32


def hutchinson(
    operator: Operator,
    *,
    generator: torch.Generator,
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
) -> TraceEstimate:
    """Return the mean of ``v_iᵀ H v_i`` over vectors v_i uniform on the sphere of radius √n.

    With m vectors its variance is ``2n/(n+2) (‖H‖_F² - (tr H)²/n) / m``, which the squares ``‖H v_i‖²`` estimate. Large
    eigenvalues of either sign make it large; without them no known estimator has a smaller error.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n): anything with ``shape``, ``dtype``, ``device`` and ``@``.
    generator : torch.Generator
        Draws the vectors.
    max_products : int, optional
        Largest number of products, at least 8; 100 by default, and unlimited by default if there is a target.
    target_std_error : float, optional
        The standard error at which to stop, in the units of the trace.
    blocks : mapping of str to rows, optional
        Diagonal blocks whose traces are wanted as well.

    Returns
    -------
    TraceEstimate
        Value, standard error, 95 % interval and number of products; ``groups`` has one estimate for each block.

    Raises
    ------
    InputError
        If a limit cannot be used, or a product is not finite.

    References
    ----------
    Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989. Girard, "A fast Monte-Carlo
    cross-validation procedure", 1989 (vectors on the sphere).

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(100.0))
    >>> hutchinson(H, generator=torch.Generator().manual_seed(0), max_products=50).covers(4950.0)
    True
    """
    n = check(operator, max_products, target_std_error, 8)
    wanted = [ALL, *(blocks or {}).values()]
    forms: dict[int, list[Tensor]] = {id(rows): [] for rows in wanted}  # for each block: vᵀ H v, ‖H v‖², and pairs
    spent, freedom = 0, max_freedom(target_std_error)

    def statistics(rows: Any) -> Statistics:
        values, squares, swaps = torch.cat(forms[id(rows)], 1)
        one = variance(values, squares, n, None if rows is ALL else swaps.nanmean().item())
        return summary(0.0, Sample(values, one), freedom=freedom)

    def draw_up_to(total: int) -> float:
        nonlocal spent
        while spent < total:
            V = sphere(operator, min(_WIDTH, total - spent), generator)
            HV = operator @ V
            spent += V.shape[1]
            for rows in wanted:
                M = V[rows].mT @ HV[rows]
                pairs = torch.full_like(M[0], swapped(M))
                form = torch.stack([M.diagonal(), (HV[rows] ** 2).sum(0), pairs])
                forms[id(rows)].append(form.double().cpu())
        return statistics(ALL)[1]

    spend(draw_up_to, 8, max_products, target_std_error)
    return packed("hutchinson", spent, blocks, statistics)
