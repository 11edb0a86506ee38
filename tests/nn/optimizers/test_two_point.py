"""Two-point perturbation: an unbiased gradient of the smoothed loss, whose drift at a fit is down the trace."""

import math

import pytest
import torch
from torch import nn

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import close, data, mlp, train


class Pair(nn.Module):
    def __init__(self, u, v):
        super().__init__()
        self.u, self.v = (nn.Parameter(torch.tensor([x], dtype=torch.float64)) for x in (u, v))

    def forward(self):
        return self.u * self.v


def estimates(u, v, sigma, draws):
    """Return so many estimates of the gradient of ``(uv − 1)²``, a row each."""
    model, loss = Pair(u, v), nn.MSELoss()
    optimizer = fnn.TwoPoint(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, sigma, seed=1)
    loss(model(), torch.ones(1, dtype=torch.float64)).backward()
    rows = []
    for _ in range(draws):
        optimizer.seek()
        rows.append(torch.cat([p.grad for p in model.parameters()]))
    return torch.stack(rows)


def z(sample, expected):
    return (sample.mean(0) - torch.tensor(expected)) / sample.std(0) * math.sqrt(len(sample))


def test_it_is_the_slope_between_two_points():
    (x, y), *_ = data(1)
    model, loss, sigma = mlp(), nn.MSELoss(), 0.1
    optimizer = fnn.TwoPoint(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, sigma, seed=5)
    generator = torch.Generator().manual_seed(5)
    v = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in model.parameters()]
    values = []
    for sign in (1, -1):
        moved = mlp()
        with torch.no_grad():
            for p, e in zip(moved.parameters(), v, strict=True):
                p += sign * sigma * e
        values.append(float(loss(moved(x), y).detach()))
    slope = (values[0] - values[1]) / (2 * sigma)
    train(model, loss, optimizer, [(x, y)])
    assert close([p.grad for p in model.parameters()], [slope * e for e in v])


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("u", "v"), [(2.0, 0.5), (1.5, -0.4)])
def test_it_is_unbiased_for_the_loss_and_half_its_trace_and_so_drifts_at_a_fit(u, v):
    """A quartic has no remainder but a constant: ``∇f + 2σ² (u, v)``; the trace is 2 (u² + v²)."""
    sigma, r = 0.5, u * v - 1
    found = estimates(u, v, sigma, 3000)
    plain = [2 * r * v, 2 * r * u]
    assert (z(found, [g + 2 * sigma**2 * w for g, w in zip(plain, (u, v), strict=True)]).abs() < 4).all()
    assert z(found, plain).abs().max() > 5, "the gradient of the loss alone is another"
    if r == 0:
        assert z(found, [0.0, 0.0])[0] > 5, "descent makes u², the larger part of the trace, smaller"


def test_a_distance_of_0_is_refused():
    model = mlp()
    with pytest.raises(InputError, match=r"sigma is 0.*expected a positive finite number"):
        fnn.TwoPoint(torch.optim.SGD(model.parameters(), lr=0.1), model, nn.MSELoss(), 0.0)
