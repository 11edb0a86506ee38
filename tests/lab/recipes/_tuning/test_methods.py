"""Training methods: transformations of inputs, and decay per replica."""

import torch
from torch import nn

from flatmin.lab.recipes._tuning.methods import METHODS, standardize, whiten
from flatmin.lab.recipes._tuning.replicas import Replicas


def test_whitening_omits_directions_without_variance():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.tensor([1.0, 9.0, 0.1, 0.0]))
    z = x @ whiten(x)
    torch.testing.assert_close(z.T @ z / 50, torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0])), atol=1e-4, rtol=0)
    z = x @ standardize(x)
    torch.testing.assert_close((z.T @ z / 50).diagonal(), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_every_method_decreases_the_loss():
    for name, method in METHODS.items():
        loss = nn.CrossEntropyLoss() if name == "label smoothing" else nn.MSELoss()
        torch.manual_seed(0)
        model = Replicas([nn.Sequential(nn.Linear(3, 2)) for _ in range(2)])
        x = torch.randn(2, 20, 3)
        y = (x[..., 0] > 0).long().flatten(0, 1) if name == "label smoothing" else x[..., :2].flatten(0, 1)
        training = method.start(model, loss, 0.02, 0.5 if name == "plain" else 1e-3)
        before = float(loss(model(x), y).detach())
        for _ in range(20):
            training.optimizer.zero_grad()
            training.objective(x, y).backward()
            training.optimizer.step()
        assert float(loss(model(x), y).detach()) < before, name
