"""Measures of a network on every device that this machine has, against the CPU."""

import copy

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import (
    Curvature,
    HessianTracePenalty,
    LowRankAdapter,
    TokenCrossEntropy,
    activation_trace,
    adapter_flatness,
    hessian_trace,
    largest_eigenvalue,
)
from tests.nn.operators.test_token_loss import Causal, tokens

CUDA = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


def test_a_model_without_numbers_is_refused_in_one_sentence():
    model, x, y = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), torch.ones(6, 4), torch.arange(6) % 3
    adapted = nn.Sequential(LowRankAdapter(nn.Linear(4, 3), rank=2)).to("meta")
    data, loss = (x, y), nn.CrossEntropyLoss()
    on_meta = copy.deepcopy(model).to("meta")
    measures = [
        lambda m: Curvature(m, loss, data),
        lambda m: hessian_trace(m, loss, data),
        lambda m: largest_eigenvalue(m, loss, data),
        lambda m: activation_trace(m, loss, data, layer="0"),
        lambda m: HessianTracePenalty(m, loss, seed=0)(*data),
        lambda m: HessianTracePenalty(m, loss, of="hessian", seed=0).objective(x.to("meta"), y.to("meta")),
        lambda m: adapter_flatness(adapted, loss, data),
    ]
    for measure in measures:
        with pytest.raises(InputError, match="on the device 'meta' and has no numbers, expected weights"):
            measure(on_meta)
    on_meta.to_empty(device="cpu").load_state_dict(model.state_dict())
    assert hessian_trace(on_meta, loss, data).value == hessian_trace(model, loss, data).value


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
