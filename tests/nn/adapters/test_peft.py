"""Adapters of PEFT itself: found by name, measured against dense matrices, and rebalanced."""

from dataclasses import replace

import pytest
import torch

from flatmin.errors import InputError
from flatmin.nn import adapter_flatness, hessian_trace, rebalance_
from flatmin.nn.adapters.layers import find_adapters
from flatmin.nn.operators.state import in_mode
from tests.nn.adapters.networks import LOSS, Layers, check, data, with_peft

peft = pytest.importorskip("peft")


def test_layers_of_peft_have_the_names_that_its_settings_use():
    model = with_peft(["first", "table", "mix"])
    found = {adapter.name: adapter for adapter in find_adapters(model)}
    assert list(found) == ["table", "mix", "first"]
    assert [a.rank for a in found.values()] == [2, 2, 2]
    assert {a.scale for a in found.values()} == {3.0}
    assert found["table"].transposed
    model.merge_adapter()
    with pytest.raises(InputError, match="is merged into the weights"):
        find_adapters(model)


def test_only_active_adapters_of_peft_are_found():
    model = with_peft(["first"])
    model.add_adapter("second", peft.LoraConfig(r=3, target_modules=["first"]))
    assert [a.rank for a in find_adapters(model)] == [2]
    model.base_model.set_adapter(["default", "second"])
    assert [(a.name, a.rank) for a in find_adapters(model)] == [("first.default", 2), ("first.second", 3)]


@pytest.mark.parametrize("targets", [["first", "last"], ["table", "mix", "first"]])
def test_layers_of_peft(targets):
    model = with_peft(targets)
    x = data()[0] if "table" not in targets else torch.randint(0, 7, (8, 6), generator=torch.Generator().manual_seed(0))
    y = torch.arange(len(x)) % 3
    found = check(model, x, y)
    with in_mode(model, "eval"), torch.no_grad():
        before = model(x)
        rebalance_(found)
        assert torch.allclose(model(x), before, atol=1e-13)
    after = adapter_flatness(model, LOSS, (x, y))
    assert abs(after.trace.value / found.fibre_minimum.value - 1) < 1e-9
    assert after.excess.value < 1e-9 * after.trace.value
    assert abs(after.weight_trace.value / found.weight_trace.value - 1) < 1e-9


def test_dora_has_the_same_fibre():
    model, (x, y) = with_peft(["first"], use_dora=True), data()
    found = adapter_flatness(model, LOSS, (x, y))
    with in_mode(model, "eval"), torch.no_grad():
        before = model(x)
        rebalance_(found)
        assert torch.allclose(model(x), before, atol=1e-13)
    after = adapter_flatness(model, LOSS, (x, y))
    assert abs(after.trace.value / found.fibre_minimum.value - 1) < 1e-9


def test_a_language_model_of_hugging_face_with_its_own_batches():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).double()
    model = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)).double()
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.3)
    tokens = torch.randint(11, (6, 8), generator=torch.Generator().manual_seed(0))
    batches = [{"input_ids": part, "labels": part.masked_fill(part == 0, -100)} for part in tokens.split(2)]
    found = adapter_flatness(model, None, batches, max_products=40)
    assert found.trace.method == "hutchinson"
    assert list(found.adapters) == ["transformer.h.0.attn.c_attn"]
    exact = hessian_trace(model, None, batches, of="gauss_newton", method="exact")
    assert found.trace.covers(exact.value)
    with in_mode(model, "eval"), torch.no_grad():
        before = model(tokens).logits
        rebalance_(found)
        assert torch.allclose(model(tokens).logits, before, atol=1e-13)
    after = hessian_trace(model, None, batches, of="gauss_newton", method="exact")
    assert found.fibre_minimum.interval[0] < after.value < 0.9 * exact.value


def test_the_pattern_of_ranks_builds_the_model_that_it_names():
    model, (x, y) = with_peft(["first", "last"]), data(64)
    pattern = adapter_flatness(model, LOSS, (x, y)).rank_pattern
    assert list(pattern) == ["first", "last"]
    chosen = {"first": 1, "last": 3}
    again = with_peft(["first", "last"], rank_pattern={name: chosen[name] for name in pattern})
    assert {adapter.name: adapter.rank for adapter in find_adapters(again)} == chosen


class Nested(torch.nn.Module):
    """A layer whose path is the end of another layer's path."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.ModuleDict({"first": torch.nn.Linear(4, 4)})
        self.first, self.last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.first(torch.tanh(self.inner["first"](x)))))


@pytest.mark.parametrize("stabilized", [False, True])
def test_the_patterns_keep_the_scales_of_the_adapters(stabilized):
    def build(**patterns):
        torch.manual_seed(0)
        settings = {"r": 3, "lora_alpha": 5, "target_modules": ["first", "last"], "use_rslora": stabilized}
        return peft.get_peft_model(Nested(), peft.LoraConfig(**settings, **patterns)).double()

    model, ranks = build(), {"inner.first": 1, "first": 2, "last": 3}
    found = adapter_flatness(model, LOSS, data(64))
    evidence = {name: replace(one, rank=ranks[name]) for name, one in found.ranks.items()}
    patterns = replace(found, ranks=evidence).patterns()
    assert patterns["rank_pattern"] == ranks
    again = {adapter.layer: adapter for adapter in find_adapters(build(**patterns))}
    assert {name: adapter.rank for name, adapter in again.items()} == ranks
    for adapter in find_adapters(model):
        assert again[adapter.layer].scale == pytest.approx(adapter.scale, rel=1e-12)


def test_each_of_several_adapters_has_a_pattern_of_its_own():
    model = with_peft(["first"])
    model.add_adapter("second", peft.LoraConfig(r=3, target_modules=["first", "last"]))
    model.base_model.set_adapter(["default", "second"])
    found = adapter_flatness(model.double(), LOSS, data(64))
    for call in (found.patterns, lambda: found.rank_pattern, lambda: found.alpha_pattern):
        with pytest.raises(InputError, match=r"the adapters default, second are active, expected one; call patterns"):
            call()
    with pytest.raises(InputError, match="label is 'third', expected one of default, second"):
        found.patterns("third")
    assert list(found.patterns("default")["rank_pattern"]) == ["first"]
    assert list(found.patterns("second")["alpha_pattern"]) == ["first", "last"]
    for label in ("default", "second"):
        settings = peft.LoraConfig(r=8, target_modules=["first", "last"], **found.patterns(label))
        layers = {a.layer: a for a in find_adapters(peft.get_peft_model(Layers(), settings))}
        for name, measured in found.adapters.items():
            if measured.adapter.label == label:
                layer = layers[measured.adapter.layer]
                assert layer.rank == max(found.ranks[name].rank, 1)
                assert layer.scale == pytest.approx(measured.adapter.scale, rel=1e-12)
