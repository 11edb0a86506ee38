"""Symmetric noise injection: its expectation is the gradient of ``f + (σ²/2) tr ∇²f + O(σ⁴)``."""

import math

import pytest
import torch
from torch import nn

import flatmin.nn as fnn
from tests.nn.optimizers.training import close, data, gradient, mlp, train


class Quadratic(nn.Module):
    """The output ``w`` of which the loss is a quadratic form."""

    def __init__(self, start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self):
        return self.w


class Entrywise(nn.Module):
    """A loss that is a sum of a function of each output."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, output):
        return self.function(output).sum()


def estimates(model, loss, sigma, directions=1):
    """Return the gradient of one step of a model whose entries are independent copies."""
    optimizer = fnn.NoiseInjection(
        torch.optim.SGD(model.parameters(), lr=0.0), model, loss, sigma, directions=directions, seed=2
    )
    loss(model()).backward()
    optimizer.step()
    return [p.grad for p in model.parameters()]


def z(sample, expected):
    return float((sample.mean() - expected) / sample.std() * math.sqrt(len(sample)))


class Pairs(nn.Module):
    """Many copies of ``u v`` at the same point."""

    def __init__(self, copies, u, v):
        super().__init__()
        self.u, self.v = (nn.Parameter(torch.full((copies,), x, dtype=torch.float64)) for x in (u, v))

    def forward(self):
        return self.u * self.v


def test_both_directions_are_taken():
    (x, y), *_ = data(1)
    model, loss, sigma = mlp(), nn.MSELoss(), 0.1
    optimizer = fnn.NoiseInjection(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, sigma, seed=5)
    generator = torch.Generator().manual_seed(5)
    v = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in model.parameters()]
    above = gradient(model, loss, x, y, [sigma * e for e in v])
    below = gradient(model, loss, x, y, [-sigma * e for e in v])
    train(model, loss, optimizer, [(x, y)])
    assert close([p.grad for p in model.parameters()], [(a + b) / 2 for a, b in zip(above, below, strict=True)])


def test_of_a_quadratic_form_it_is_the_gradient_itself_whatever_is_drawn():
    H = torch.tensor([[3.0, 1.0], [1.0, 2.0]]).double()
    model = Quadratic([1.0, -2.0])
    found = estimates(model, Entrywise(lambda w: (w @ H @ w) / 2), sigma=0.7)
    assert torch.allclose(found[0], H @ model.w.detach())


def test_of_a_factored_loss_the_expectation_is_that_of_the_loss_and_half_its_trace_exactly():
    """``(uv − 1)²`` is a quartic, with trace 2 (u² + v²): no remainder; at a fit, nothing but the drift is left."""
    u, v, sigma, copies = 2.0, 0.5, 0.4, 40000
    found = estimates(Pairs(copies, u, v), Entrywise(lambda x: (x - 1) ** 2), sigma)
    drift = sigma**2 / 2 * 4
    assert abs(z(found[0], drift * u)) < 4
    assert abs(z(found[1], drift * v)) < 4
    assert abs(z(found[0], 0.0)) > 10, "the plain gradient is 0 here, and seen not to be it"


def test_the_remainder_is_of_fourth_order():
    """The mean of ``cos(w + σv)`` is ``cos(w) exp(−σ²/2)``; the trace term leaves ``σ⁴/8`` of it."""
    sigma, w = 0.8, 1.0
    found = estimates(Quadratic([w] * 400000), Entrywise(torch.cos), sigma)[0]
    with_trace = -math.sin(w) * (1 - sigma**2 / 2)
    assert abs(z(found, -math.sin(w) * math.exp(-(sigma**2) / 2))) < 4
    assert float(found.mean()) - with_trace == pytest.approx(-math.sin(w) * sigma**4 / 8, rel=0.15)


def test_more_directions_have_less_noise():
    spread = [
        float(estimates(Pairs(20000, 2.0, 0.5), Entrywise(lambda x: (x - 1) ** 2), 0.4, directions=k)[0].var())
        for k in (1, 4)
    ]
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.15)
