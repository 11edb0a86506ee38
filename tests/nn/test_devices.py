"""Measures of a network on every device that this machine has, against the CPU."""

import copy

import pytest
import torch
from torch import nn

from flatmin.nn import Curvature, HessianTracePenalty, TokenCrossEntropy, hessian_trace, largest_eigenvalue
from tests.nn.operators.test_token_loss import Causal, tokens

CUDA = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_measures_agree_with_those_on_the_cpu(device, of):
    model, batch = Causal(), tokens()  # data stay on the CPU, and are moved to the model
    other = copy.deepcopy(model).to(device)
    for loss in (None, TokenCrossEntropy(mask="attention_mask")):
        products = [Curvature(m, loss, batch, of=of) @ torch.ones(49, dtype=torch.float64) for m in (model, other)]
        assert products[1].device.type == device.type
        assert torch.allclose(products[0], products[1].cpu(), rtol=1e-9)
        for method in ("exact", "hutchinson", "hutch++"):
            options = {"of": of, "method": method, "max_products": 49}
            values = [hessian_trace(m, loss, batch, **options).value for m in (model, other)]
            assert values[1] == pytest.approx(values[0], rel=1e-8)
        values = [largest_eigenvalue(m, loss, batch, of=of, max_products=20).value for m in (model, other)]
        assert values[1] == pytest.approx(values[0], rel=1e-8)


def test_penalties_agree_with_those_on_the_cpu(device):
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    other, x = copy.deepcopy(model).to(device), torch.ones(6, 4, dtype=torch.float64).cumsum(0) / 6
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    values = [
        HessianTracePenalty(m, nn.CrossEntropyLoss(), seed=0)(x.to(where), y.to(where)).item()
        for m, where in ((model, "cpu"), (other, device))
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-9)
