"""Networks, wrappers and loops that the tests of all optimizers share."""

import copy

import pytest
import torch
from torch import nn

import flatmin.nn as fnn

BASES = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}
WRAPPERS = {
    "SAM": lambda *a: fnn.SAM(*a, rho=0.1),
    "PerExampleSAM": lambda *a: fnn.PerExampleSAM(*a, rho=0.1, chunk=3),
    "LabelNoise": lambda *a: fnn.LabelNoise(*a, noise=0.3, seed=1),
    "NoiseInjection": lambda *a: fnn.NoiseInjection(*a, sigma=0.05, seed=1),
    "TwoPoint": lambda *a: fnn.TwoPoint(*a, sigma=0.05, seed=1),
    "WeightDecay": lambda *a: fnn.WeightDecay(*a, decay=0.1),
}
REPLAYING = ("SAM", "PerExampleSAM", "NoiseInjection", "TwoPoint")

wrappers = pytest.mark.parametrize("wrapper", WRAPPERS)
replaying = pytest.mark.parametrize("wrapper", REPLAYING)
bases = pytest.mark.parametrize("base", BASES)


def mlp(*, dropout=0.0, norm=False, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(3, 6), nn.BatchNorm1d(6) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(6, 2)).to(dtype)


def set_up(wrapper, base="SGD", loss=None, **options):
    model, loss = mlp(**options), loss or nn.MSELoss()
    return model, loss, WRAPPERS[wrapper](BASES[base](model.parameters()), model, loss)


def data(steps=4, size=8, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, 3, generator=generator).to(dtype), torch.randn(size, 2, generator=generator).to(dtype))
        for _ in range(steps)
    ]


def train(model, loss, optimizer, batches, scheduler=None):
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return bits(model)


def bits(model):
    return [t.detach().clone() for t in (*model.parameters(), *model.buffers())]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def close(first, second, rtol=1e-10, atol=1e-12):
    return all(torch.allclose(a, b, rtol=rtol, atol=atol) for a, b in zip(first, second, strict=True))


def gradient(model, loss, x, y, offsets=None):
    """Return the gradient at other weights, of a copy of the model."""
    other = copy.deepcopy(model)
    if offsets is not None:
        with torch.no_grad():
            for p, e in zip(other.parameters(), offsets, strict=True):
                p += e
    return torch.autograd.grad(loss(other(x), y), list(other.parameters()))


def norm(tensors):
    return torch.sqrt(sum(torch.sum(t**2) for t in tensors))
