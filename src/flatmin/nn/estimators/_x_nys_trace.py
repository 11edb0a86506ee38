"""XNysTrace: a Nyström approximation, and samples of the trace outside it from the same products."""

from typing import Any

import torch
from torch import Tensor

from flatmin.nn.estimators.base import TraceEstimate, TraceRequest, packed, sphere
from flatmin.nn.estimators.deflation import MIN_SAMPLE
from flatmin.nn.estimators.nystrom import Nystrom
from flatmin.nn.estimators.sample import ALL, LEFT_OUT, Sample, Statistics, at_a_drop, summary, swapped, variance
from flatmin.nn.estimators.spending import multiplied

__all__ = ["samples", "x_nys_trace"]


def x_nys_trace(request: TraceRequest) -> TraceEstimate:
    """Return the mean of one trace estimate for each random vector ω_i, for a positive semidefinite operator A.

    The estimate for ω_i is ``tr Âᵢ + gᵢᵀ (A − Âᵢ) gᵢ``, where Âᵢ is the Nyström approximation from all other vectors,
    and gᵢ the part of ω_i orthogonal to them, scaled to length √(n − m + 1). All m products serve both purposes, and
    none is spent on a basis, as half of them are in XTrace. With 60 products the error is 1000 times smaller than that
    of XTrace for eigenvalues ``0.7^i``, a third for 50 equal ones that dominate, but 1.6 times larger for ``i^-2``.

    Parameters
    ----------
    request : TraceRequest
        A request that allows at least 8 products of a positive semidefinite operator; others raise `InputError`.

    References
    ----------
    Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", SIMAX 2024,
    section 2.3. The standard error is ours; theirs neglects the covariance of the estimates.

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(1.0, 101.0).double() ** -2)
    >>> estimate = x_nys_trace(TraceRequest(H, torch.Generator().manual_seed(0), max_products=60))
    >>> abs(estimate.value / H.trace().item() - 1) < 1e-2
    True
    """
    n, operator = request.check(MIN_SAMPLE), request.operator
    V = torch.empty(n, 0, dtype=operator.dtype, device=operator.device)
    AV = V
    found: list[Nystrom] = []

    def draw_up_to(total: int) -> float:
        nonlocal V, AV
        new = sphere(operator, min(total, n) - V.shape[1], request.generator)
        products = multiplied(operator, new)
        V, AV = torch.cat([V, new[:, : products.shape[1]]], 1), torch.cat([AV, products], 1)
        interrupted = products.shape[1] < new.shape[1]
        if interrupted and V.shape[1] < MIN_SAMPLE:
            raise KeyboardInterrupt
        if not AV.any():
            return 0.0
        found[:] = [Nystrom(operator, V, AV.clone())]
        if V.shape[1] > MIN_SAMPLE + LEFT_OUT and _ends_at_a_drop(found[0]):
            found[:] = [Nystrom(operator, V[:, :-LEFT_OUT], AV[:, :-LEFT_OUT].clone())]
        return 0.0 if interrupted else statistics(ALL)[1]

    def statistics(rows: Any) -> Statistics:
        if not found:  # the operator is zero
            return 0.0, 0.0, (0.0, 0.0)
        return summary(0.0, samples(found[0], rows), freedom=request.max_freedom)

    request.spend(draw_up_to, min(MIN_SAMPLE, n))
    return packed("xnystrace", V.shape[1], request.blocks, statistics)


def _ends_at_a_drop(nystrom: Nystrom) -> bool:
    (n, m), k, mu = nystrom.vectors.shape, nystrom.K.diagonal(), nystrom.M.diagonal()
    squares = (n - m + 1) * mu * (nystrom.Z.double() ** 2).sum(0).cpu() / k**2
    half = nystrom.half.double()
    unit = torch.finfo(nystrom.vectors.dtype).eps
    return at_a_drop(squares, torch.linalg.eigvalsh(half.mT @ half).cpu(), unit)


def samples(nystrom: Nystrom, rows: Any) -> Sample:
    """Return the estimates of the trace of some rows' block, one for each vector, with variance and covariance."""
    (n, m), K, M = nystrom.vectors.shape, nystrom.K, nystrom.M
    Z, half = nystrom.Z[rows], nystrom.half[rows]
    k, mu, room = K.diagonal(), M.diagonal(), n - m + 1
    G, inside = (Z.mT @ Z).double().cpu(), float((half.double() ** 2).sum()) - nystrom.shift * len(Z)
    # N_ij is the inner product, over these rows, of the part of ω_i outside the other vectors (times M_ii) and z_j.
    N = M if rows is ALL else M @ (nystrom.vectors[rows].mT @ Z).double().cpu()
    forms = room * N.diagonal() / k
    x = inside - G.diagonal() / k + forms
    squares = room * mu * G.diagonal() / k**2
    # Without the vectors i and j: the inverses of the 2 × 2 blocks of K and of M, rows i and columns j.
    a, b = _inverse(K)
    p, q = _inverse(M)
    pushed = p * (a * N.diagonal()[:, None] + b * N) + q * (a * N.mT + b * N.diagonal())
    y = inside - (a * G.diagonal()[:, None] + 2 * b * G + a.mT * G.diagonal()) + (room + 1) / p * pushed
    covariance = swapped(x[:, None] - y) if m > 1 else 0.0
    return Sample(x, variance(forms, squares, room), covariance)


def _inverse(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (1, 1) and (1, 2) entries of the inverse of each block ``A[[i, j], [i, j]]``, two (m, m) matrices."""
    d = A.diagonal()
    determinant = (d[:, None] * d - A**2).fill_diagonal_(1.0)
    return d / determinant, -A / determinant
