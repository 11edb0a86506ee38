"""The plain adapter is what its formula says, and adapters of other libraries are found."""

import re

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import LowRankAdapter, adapter_flatness
from flatmin.nn.adapters.layers import find_adapters
from tests.nn.adapters.networks import data, plain


def test_the_plain_adapter_adds_a_product_and_starts_at_the_frozen_layer():
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 4), torch.randn(3, 6)
    adapter = LowRankAdapter(layer, 2, scale=0.5)
    assert torch.equal(adapter(x), layer(x))
    assert [name for name, p in adapter.named_parameters() if p.requires_grad] == ["A", "B"]
    nn.init.normal_(adapter.B)
    weight = layer.weight + 0.5 * adapter.B @ adapter.A
    assert torch.allclose(adapter(x), x @ weight.T + layer.bias, atol=1e-6)
    assert torch.allclose(find_adapters(adapter)[0].update().float(), weight - layer.weight, atol=1e-6)
    assert "rank=2, scale=0.5" in repr(adapter)


@pytest.mark.parametrize(("layer", "rank"), [(nn.Conv1d(2, 2, 1), 1), (nn.Linear(2, 2), 0)])
def test_a_bad_argument_is_one_sentence(layer, rank):
    with pytest.raises(InputError, match="expected"):
        LowRankAdapter(layer, rank)


class Foreign(nn.Module):
    """An adapter of somebody else, whose factors are parameters."""

    def __init__(self, acts=2.0):
        super().__init__()
        self.W0 = nn.Parameter(torch.randn(3, 4).double(), requires_grad=False)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(2, 4).double()), nn.Parameter(torch.randn(3, 2).double())
        self.scaling, self.acts = 2.0, acts

    def forward(self, x):
        return x @ (self.W0 + self.acts * self.lora_B @ self.lora_A).T


def test_layers_of_others_are_found_and_checked_by_their_gradients():
    torch.manual_seed(0)
    found = adapter_flatness(Foreign(), nn.CrossEntropyLoss(), data())
    assert list(found.adapters) == ["model"]
    with pytest.raises(InputError, match="s = 2, expected a low-rank adapter"):
        adapter_flatness(Foreign(acts=1.0), nn.CrossEntropyLoss(), data())


@pytest.mark.parametrize("scale", ["a", float("nan"), float("inf"), None])
def test_a_scale_is_a_finite_number(scale):
    with pytest.raises(InputError, match=r"scale is .*, expected a finite number"):
        LowRankAdapter(nn.Linear(2, 2), 1, scale)


def test_a_frozen_weight_that_is_no_parameter_is_named():
    odd = Foreign()
    del odd.W0
    odd.register_buffer("W0", torch.randn(3, 4).double())
    with pytest.raises(InputError, match=r"weight of model is a plain tensor or a buffer, expected an nn.Parameter"):
        find_adapters(odd)


def test_a_model_without_adapters_is_refused():
    with pytest.raises(InputError, match="has no low-rank adapter"):
        find_adapters(nn.Linear(2, 2))
    with pytest.raises(InputError, match="expected a torch"):
        find_adapters("model")
    odd = plain()[1]
    odd.B = nn.Parameter(torch.zeros(5, 4))
    with pytest.raises(InputError, match=re.escape("expected A (r, ...) and B (outputs, r)")):
        find_adapters(odd)
