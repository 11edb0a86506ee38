"""Samples of what deflation leaves, against projectors that are formed and rebuilt bases."""

import pytest
import torch

from flatmin.nn.estimators.base import TraceRequest
from flatmin.nn.estimators.deflation import Deflation
from flatmin.nn.estimators.sample import ALL, swapped

N, COUNT, RANK = 30, 11, 6
BLOCK = torch.arange(3, 15)


def symmetric(n=N, seed=0):
    B = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return B + B.T


def deflated(H=None, rank=RANK, count=COUNT):
    deflation = Deflation(TraceRequest(symmetric() if H is None else H, torch.Generator().manual_seed(1)))
    deflation.draw(count)
    deflation.deflate(rank)
    return deflation


class Slow:
    """The same by its definition: Q and the projector are formed for each set of products that is left out."""

    def __init__(self, deflation, rows):
        self.V, self.Y, self.H = deflation.V, deflation.HV, deflation.request.operator
        self.E = torch.zeros(N, N, dtype=torch.float64)
        chosen = torch.arange(N)[rows]
        self.E[chosen, chosen] = 1

    def form(self, *omitted):
        keep = [j for j in range(RANK) if j not in omitted]
        Q = torch.linalg.qr(self.Y[:, keep]).Q
        P = torch.eye(N, dtype=torch.float64) - Q @ Q.T
        return (self.E @ self.H @ Q * Q).sum(), P @ self.E @ self.H @ P, P, N - len(keep)

    def freed(self, i, *omitted):
        *_, P, room = self.form(*omitted)
        g = P @ self.V[:, i]
        return g * (room**0.5 / g.norm())

    def value(self, i, *omitted):
        inside, A, *_ = self.form(*omitted)
        g = self.freed(i, *omitted)
        return inside + g @ A @ g


def formula(values, squares, d, swaps):
    """Variance of a form on the sphere from unbiased parts."""
    k = len(values)
    pairs = (values.sum() ** 2 - (values**2).sum()) / (k * (k - 1))
    norm = (squares.mean() + swaps.clamp(0, squares.mean())) / 2
    return 2 * d / (d + 2) * (norm - pairs.clamp(min=0) / d)


@pytest.mark.parametrize("rows", [ALL, BLOCK], ids=["all", "block"])
def test_vectors_that_are_fresh(rows):
    deflation = deflated()
    slow = Slow(deflation, rows)
    inside, A, *_ = slow.form()
    assert deflation.inside(rows) == pytest.approx(inside.item())
    G = torch.stack([slow.freed(i) for i in range(RANK, COUNT)], 1)
    sample = deflation.independent()(rows)
    values = (G * (A @ G)).sum(0)
    assert torch.allclose(sample.values, values)
    squares = ((A @ G) ** 2).sum(0)
    swaps = squares.mean() if rows is ALL else torch.tensor(swapped(G.T @ A @ G))
    assert sample.variance == pytest.approx(formula(values, squares, N - RANK, swaps).item())
    assert sample.covariance == 0


@pytest.mark.parametrize("rows", [ALL, BLOCK], ids=["all", "block"])
def test_vectors_left_out_one_by_one_and_in_pairs(rows):
    deflation = deflated()
    slow = Slow(deflation, rows)
    sample = deflation.leave_one_out()(rows)
    x = torch.stack([slow.value(i, i) for i in range(RANK)])
    assert torch.allclose(sample.values + deflation.inside(rows), x)
    pairs = [(i, j) for i in range(RANK) for j in range(RANK) if i != j]
    products = [(x[i] - slow.value(i, i, j)) * (x[j] - slow.value(j, i, j)) for i, j in pairs]
    assert sample.covariance == pytest.approx(torch.stack(products).mean().item())
    parts, squares = [], []
    for i in range(RANK):
        A, g = slow.form(i)[1], slow.freed(i, i)
        parts.append(g @ A @ g)
        squares.append((A @ g).norm() ** 2)
    parts, squares, swaps = torch.stack(parts), torch.stack(squares), torch.stack(squares).mean()
    if rows is not ALL:
        terms = []
        for i, j in pairs:
            A, g, h = slow.form(i, j)[1], slow.freed(i, i, j), slow.freed(j, i, j)
            terms.append((h @ A @ g) * (g @ A @ h))
        swaps = torch.stack(terms).mean()
    # The parts that the values have in the space of their own Q: what `sample` adds to them is q_i.
    assert sample.variance == pytest.approx(formula(parts, squares, N - RANK + 1, swaps).item(), rel=1e-9)


@pytest.mark.slow
def test_covariance_of_two_vectors_is_that_of_repeated_draws():
    """Over many draws, the mean estimated covariance is the covariance; without it the error would be wrong."""
    H = torch.diag(0.6 ** torch.arange(12).double())
    inside, covariances, variances = [], [], []
    for seed in range(1500):
        deflation = Deflation(TraceRequest(H, torch.Generator().manual_seed(seed)))
        deflation.draw(4)
        deflation.deflate(4)
        sample = deflation.leave_one_out()(ALL)
        inside.append(deflation.inside(ALL) + sample.values - H.trace())
        covariances.append(sample.covariance)
        variances.append(sample.variance)
    X = torch.stack(inside)
    true = (X.sum(1) ** 2 - (X**2).sum(1)) / 12
    estimated = torch.tensor(covariances)
    assert abs(X.mean()) < 4 * X.mean(1).std() / 1500**0.5
    difference = true - estimated
    assert abs(difference.mean()) < 4 * difference.std() / 1500**0.5
    assert abs(true.mean()) > 6 * true.std() / 1500**0.5
    difference = (X**2).mean(1) - torch.tensor(variances)
    assert abs(difference.mean()) < 4 * difference.std() / 1500**0.5


def test_products_that_add_no_direction_are_dropped_and_nothing_is_multiplied_for_them():
    u = torch.linalg.qr(symmetric())[0][:, :3]
    H = u @ torch.diag(torch.tensor([3.0, -2.0, 1.0]).double()) @ u.T
    deflation = deflated(H)
    assert deflation.Q.shape == (N, 3)
    assert deflation.n_products == COUNT + 3
    for sample in (deflation.leave_one_out(), deflation.independent()):
        assert torch.allclose(deflation.inside(ALL) + sample(ALL).values, H.trace())
    deflation.deflate(COUNT)
    assert deflation.n_products == COUNT + 3
    assert deflated(torch.zeros(N, N).double()).n_products == COUNT


def test_q_may_span_everything():
    H = symmetric(8)
    deflation = deflated(H, rank=8, count=10)
    assert torch.allclose(deflation.inside(ALL) + deflation.independent()(ALL).values, H.trace())


def test_a_basis_that_grows_is_the_one_made_at_once():
    grown, once = deflated(rank=3), deflated()
    grown.deflate(RANK)
    assert torch.allclose(grown.Q @ grown.Q.T, once.Q @ once.Q.T)
    assert (grown.Q.T @ grown.Q - torch.eye(RANK)).abs().max() < 1e-13
    assert grown.n_products == once.n_products == COUNT + RANK
