"""Probes of the root of the curvature are unbiased for every form."""

import pytest
import torch
from torch import nn

from flatmin._core.progress import listening
from flatmin.nn import adapter_flatness
from flatmin.nn.adapters import probing
from flatmin.nn.adapters.layers import find_adapters
from flatmin.nn.adapters.probing import Forms, exact_traces, probed_traces
from flatmin.nn.estimators import spending
from flatmin.nn.operators.curvature import Curvature
from tests.nn.adapters.networks import data, plain


def test_the_mean_of_many_probes_is_the_exact_form():
    model, _ = plain()
    adapters = find_adapters(model)
    curvature = Curvature(model, nn.CrossEntropyLoss(), data(), of="gauss_newton", parameters=adapters[0].parameters)
    forms = Forms.from_curvature(adapters, curvature)
    exact, count = exact_traces(forms, curvature, 10)
    assert count == 2  # the Hessian of cross entropy in three outputs has rank two
    probes = probed_traces(forms, curvature, 300, seed=0)[0]
    for name in ("P", "Q", "weight", "trace"):
        sample, wanted = getattr(probes, name), getattr(exact[0], name)
        error = sample.std(0) / len(sample) ** 0.5
        assert bool(((sample.mean(0) - wanted).abs() < 4.5 * error).all()), name
    assert bool((torch.linalg.eigvalsh(probes.P) > -1e-12).all())


def interrupting(monkeypatch, calls):
    """Let a probe end with an interrupt after some calls, each for one block of 16 probes and one batch."""
    left = [calls]

    def probe(*arguments, inner=probing._probe):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return inner(*arguments)

    monkeypatch.setattr(probing, "_probe", probe)


def test_an_interrupt_after_sixteen_probes_returns_what_is_known(monkeypatch, caplog):
    model, _ = plain()
    x, y = data(24)
    batches = list(zip(x.split(8), y.split(8), strict=True))
    options = {"method": "hutchinson", "max_products": 80, "ranks": False, "seed": 2}
    first = adapter_flatness(model, nn.CrossEntropyLoss(), batches, **{**options, "max_products": 32})
    interrupting(monkeypatch, 3 * 2 + 1)
    found = adapter_flatness(model, nn.CrossEntropyLoss(), batches, **options)
    assert "interrupted after 32 of 80 probes" in caplog.text
    assert found.trace == first.trace
    assert found.trace.n_products == 32
    interrupting(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        adapter_flatness(model, nn.CrossEntropyLoss(), batches, **options)
    assert all(module.training for module in model.modules())


def test_an_interrupt_of_the_test_of_ranks_keeps_the_traces(monkeypatch, caplog):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("flatmin.nn.adapters.measure.find_ranks", interrupted)
    found = adapter_flatness(plain()[0], nn.CrossEntropyLoss(), data(24))
    assert found.trace.value > 0
    assert not found.ranks
    assert "interrupted in the test of ranks" in caplog.text


@pytest.mark.parametrize("method", ["exact", "hutchinson"])
def test_every_step_tells_a_listener(method, monkeypatch):
    monkeypatch.setattr(spending, "EARLY", 0.0)
    heard = []
    with listening(heard.append):
        adapter_flatness(plain()[0], nn.CrossEntropyLoss(), data(64), method=method, max_products=40)
    counts = {state["unit"]: state[state["unit"]] for state in heard}
    assert counts == {"gradients": 128 if method == "exact" else 40, "parts of the data": 32}
    totals = [state["total"] for state in heard if state["unit"] == "gradients"]
    assert totals[-1] == (None if method == "exact" else 40)
