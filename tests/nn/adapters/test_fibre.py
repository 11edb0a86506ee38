"""The smallest trace on a fibre, against a search and against the nuclear norm of the whitened product."""

import torch
from scipy.optimize import minimize

from flatmin.nn.adapters.fibre import flattest_move, smallest_trace


def semidefinite(n, generator, rank=None):
    F = torch.randn(n, rank or n, generator=generator, dtype=torch.float64)
    return F @ F.T


def root(M):
    values, vectors = torch.linalg.eigh(M)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def test_the_smallest_trace_is_the_nuclear_norm_and_no_search_finds_less():
    generator = torch.Generator().manual_seed(0)
    left, right = semidefinite(5, generator), semidefinite(6, generator)
    B, A = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((5, 3), (3, 6)))
    P, Q = B.T @ left @ B, A @ right @ A.T
    least = float(smallest_trace(P, Q))
    assert abs(least / float(2 * torch.linalg.svdvals(root(left) @ B @ A @ root(right)).sum()) - 1) < 1e-12

    def trace(flat):
        G = torch.tensor(flat).reshape(3, 3)
        inverse = torch.linalg.inv(G)
        return float(torch.trace(G.T @ P @ G) + torch.trace(inverse @ Q @ inverse.T))

    found = minimize(trace, torch.eye(3).double().flatten().numpy(), method="BFGS", options={"gtol": 1e-9})
    assert abs(found.fun / least - 1) < 1e-6
    G, inverse = flattest_move(P, Q)
    assert abs(trace(G.flatten().numpy()) / least - 1) < 1e-12
    assert torch.allclose(G @ inverse, torch.eye(3).double(), atol=1e-12)
    assert torch.allclose(G.T @ P @ G, inverse @ Q @ inverse.T, atol=1e-10 * least)


def test_singular_curvature_keeps_the_move_invertible():
    generator = torch.Generator().manual_seed(1)
    P, Q = semidefinite(3, generator, rank=2), semidefinite(3, generator, rank=1)
    G, inverse = flattest_move(P, Q)
    assert torch.allclose(G @ inverse, torch.eye(3).double(), atol=1e-8)
    after = float(torch.trace(G.T @ P @ G) + torch.trace(inverse @ Q @ inverse.T))
    assert after < (1 + 1e-3) * float(smallest_trace(P, Q))
