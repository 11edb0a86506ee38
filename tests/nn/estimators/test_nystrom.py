"""The identities of the Nyström approximation without single vectors, against approximations that are formed anew."""

import pytest
import torch

from flatmin.errors import InputError
from flatmin.nn.estimators.base import sphere
from flatmin.nn.estimators.nystrom import Nystrom


def semidefinite(n=30, seed=0):
    G = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return G @ torch.diag(torch.arange(1.0, n + 1).double() ** -2) @ G.T


def approximation(A, W):
    return A @ W @ torch.linalg.inv(W.T @ A @ W) @ W.T @ A


def test_each_vector_sees_what_the_others_leave():
    A = semidefinite()
    V = sphere(A, 8, torch.Generator().manual_seed(1))
    found = Nystrom(A, V, A @ V)
    assert torch.allclose(found.half @ found.half.T, approximation(A, V), atol=1e-9)
    for i in range(8):
        W = V[:, [j for j in range(8) if j != i]]
        without = approximation(A, W)
        z = found.Z[:, i]
        assert torch.allclose(found.half @ found.half.T - torch.outer(z, z) / found.K[i, i], without, atol=1e-8)
        assert torch.allclose(z / found.K[i, i], (A - without) @ V[:, i], atol=1e-8)
        own = V @ found.M[:, i] / found.M[i, i]
        assert torch.allclose(own, V[:, i] - W @ torch.linalg.lstsq(W, V[:, i]).solution, atol=1e-10)


def test_single_precision_and_low_rank_are_stable():
    A = semidefinite()
    for dtype, rank in ((torch.float32, 30), (torch.float64, 5), (torch.float32, 5)):
        values, vectors = torch.linalg.eigh(A)
        values[: 30 - rank] = 0
        B = (vectors @ torch.diag(values) @ vectors.T).to(dtype)
        V = sphere(B, 12, torch.Generator().manual_seed(2))
        found = Nystrom(B, V, B @ V)
        trace = float((found.half.double() ** 2).sum()) - 30 * found.shift
        assert trace <= float(values.sum()) * (1 + 1e-3)
        assert rank > 5 or trace == pytest.approx(float(values.sum()), rel=1e-2)


def test_an_indefinite_operator_is_refused():
    A = torch.diag(torch.tensor([1.0, -1.0]).double().repeat(15))
    V = sphere(A, 8, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="not positive semidefinite"):
        Nystrom(A, V, A @ V)
