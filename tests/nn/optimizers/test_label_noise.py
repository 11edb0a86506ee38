"""Label noise: what is disturbed and how much, and the drift of noisy training at a fit."""

import math

import pytest
import torch
from torch import nn

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import mlp


class Targets(nn.Module):
    """A loss that notes its targets."""

    def __init__(self, ignore_index=-100):
        super().__init__()
        self.ignore_index, self.seen = ignore_index, []

    def forward(self, output, target):
        self.seen.append(target)
        return output.sum()


class Products(nn.Module):
    """Many models ``x = u v`` of one number, side by side; each has only its own noise."""

    def __init__(self, copies, u, v):
        super().__init__()
        self.u, self.v = (nn.Parameter(torch.full((copies,), x, dtype=torch.float64)) for x in (u, v))

    def forward(self):
        return self.u * self.v


def noisy(targets, noise, seed=0, loss=None):
    model, loss = mlp(), loss or Targets()
    optimizer = fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, noise, seed=seed)
    loss(torch.zeros(len(targets), 5, *targets.shape[1:]), targets)
    assert optimizer._labels.seen == 1
    return loss.seen[-1]


def test_real_targets_get_normal_noise_of_the_size_asked_for():
    n, noise = 40000, 0.3
    found = noisy(torch.full((n,), 2.0), noise)
    assert abs(float(found.mean()) - 2) < 4 * noise / math.sqrt(n)
    assert float(found.std()) == pytest.approx(noise, abs=4 * noise / math.sqrt(2 * n))
    assert not torch.equal(found, noisy(torch.full((n,), 2.0), noise, seed=1))
    assert torch.equal(noisy(torch.full((9,), 2.0), 0.0), torch.full((9,), 2.0))


def test_class_numbers_are_replaced_by_one_drawn_among_all():
    n, noise = 40000, 0.4
    target = torch.arange(n) % 5
    target[::7] = -100
    found = noisy(target, noise)
    ignored = target == -100
    assert torch.equal(found[ignored], target[ignored])
    share = float((found != target)[~ignored].double().mean())
    assert abs(share - noise * 4 / 5) < 4 * math.sqrt(0.25 / n)
    assert set(found[~ignored].tolist()) == set(range(5))
    assert torch.equal(noisy(target, 0.0), target)


def test_the_noise_may_change_as_it_trains():
    model, loss = mlp(), Targets()
    optimizer = fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, 0.0)
    output, target = torch.zeros(8, 2), torch.zeros(8, 2)
    loss(output, target)
    optimizer.noise = 0.5
    loss(output, target)
    assert torch.equal(loss.seen[0], target)
    assert not torch.equal(loss.seen[1], target)


def test_the_loss_that_is_looked_at_is_the_clean_one():
    model, loss = mlp(), Targets()
    optimizer = fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, 0.5)
    output, target = torch.zeros(8, 2), torch.zeros(8, 2)
    with torch.no_grad():
        loss(output, target)
    model.eval()
    loss(output, target)
    assert all(torch.equal(seen, target) for seen in loss.seen)
    model.train()
    loss(output, target=target)
    assert not torch.equal(loss.seen[-1], target)
    del optimizer
    loss(output, target)
    assert torch.equal(loss.seen[-1], target), "without its optimizer the loss is what it was"


def drifted(noise, steps=250, copies=2000, lr=0.02):
    """Return, for each of many runs from the fit (2, 1/2) of 1, ``u² − v²`` at the end."""
    model, loss = Products(copies, 2.0, 0.5), nn.MSELoss(reduction="sum")
    optimizer = fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=lr), model, loss, noise, seed=3)
    target = torch.ones(copies, dtype=torch.float64)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(), target).backward()
        optimizer.step()
    return model.u.detach(), model.v.detach()


def test_at_a_fit_it_drifts_down_the_trace():
    """The Hessian of ``(uv − 1)²`` has trace 2 (u² + v²), least where u² = v².

    A step multiplies ``u² − v²`` by ``1 − 4 lr² r²``, r the residual with its noise: by ``exp(−4 lr² σ² T)`` in T steps
    as long as the noise in the residual is that of the label, which moves with ``u² + v²``.
    """
    noise, steps, lr = 0.5, 250, 0.02
    u, v = drifted(noise, steps, lr=lr)
    imbalance = u**2 - v**2
    mean, error = float(imbalance.mean()), float(imbalance.std() / math.sqrt(len(u)))
    start = 2.0**2 - 0.5**2
    assert (mean - start) / error < -10
    expected = start * math.exp(-4 * lr**2 * noise**2 * steps)
    # the residual's own part, lr (u² + v²) σ² of its variance σ², is about a tenth
    assert (start - mean) / (start - expected) == pytest.approx(1.09, abs=0.06)


def test_without_noise_nothing_drifts():
    u, v = drifted(0.0)
    assert torch.equal(u, torch.full_like(u, 2.0))
    assert torch.equal(v, torch.full_like(v, 0.5))


def test_a_loss_that_takes_no_noisy_target_is_refused():
    model = mlp()
    with pytest.raises(InputError, match="expected BCEWithLogitsLoss"):
        fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, torch.nn.BCELoss())


@pytest.mark.parametrize(
    ("output", "target", "noise", "message"),
    [
        (torch.zeros(4, 3), torch.ones(4, dtype=torch.bool), 0.1, "targets are torch.bool"),
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), 1.5, "probability"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.long), 0.1, "class labels with one output for each class"),
        (torch.zeros(4, 3), None, 0.1, "without a target tensor"),
    ],
)
def test_what_is_refused(output, target, noise, message):
    model, loss = mlp(), Targets()
    optimizer = fnn.LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, noise)
    with pytest.raises(InputError, match=message):
        loss(output, target)
    with pytest.raises(InputError, match="no target was seen"):
        optimizer.step()
