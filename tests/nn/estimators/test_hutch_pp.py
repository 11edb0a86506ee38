"""Hutch++: its definition, how it spends its products, a bound on its subspace, and a start of multiplied vectors."""

import pytest
import torch

from flatmin.nn.estimators import TraceRequest, hutch_pp
from flatmin.nn.estimators.base import sphere
from flatmin.nn.estimators.deflation import Deflation
from tests.nn.estimators.test_every_estimator import H, N


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("max_rank", "rank"), [(None, 10), (4, 4)])
def test_it_is_the_trace_on_a_subspace_plus_the_mean_outside(max_rank, rank):
    found = hutch_pp(TraceRequest(H, draw(), max_products=30), max_rank=max_rank)
    V = sphere(H, 30 - rank, draw())
    Q = torch.linalg.qr(H @ V[:, :rank]).Q
    G = V[:, rank:] - Q @ (Q.T @ V[:, rank:])
    G *= (N - rank) ** 0.5 / torch.linalg.vector_norm(G, dim=0)
    wanted = (Q.T @ H @ Q).trace() + ((G * (H @ G)).sum(0)).mean()
    assert found.value == pytest.approx(wanted.item(), rel=1e-9)
    assert found.n_products == 30


def test_eight_vectors_always_sample_the_complement():
    request = TraceRequest(H, draw(), max_products=12)
    deflation = Deflation(request)
    hutch_pp(request, start=deflation)
    assert (deflation.rank, deflation.V.shape[1]) == (2, 10)


def test_vectors_that_were_multiplied_before_are_used_and_counted():
    request = TraceRequest(H, draw(), max_products=30)
    start = Deflation(request)
    start.draw(8)
    found = hutch_pp(request, start=start)
    assert found == hutch_pp(TraceRequest(H, draw(), max_products=30)) or found.n_products == 30
    assert found.covers(H.trace().item())
