"""Traces in the outputs of a layer: dense Hessians in the activations of all samples, and refusals."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import Curvature, activation_trace
from tests.nn.networks import LOSSES, batch_norm, classes, conv, inputs, mlp, pieces, values

CROSS = nn.CrossEntropyLoss()
DATA = (inputs(), classes())


def rest(model, start):
    return nn.Sequential(*list(model.children())[start:])


def dense_traces(model, start, loss, x, y):
    """Return the traces of the Hessian in the activations of all samples, and of its Gauss-Newton part."""
    a = nn.Sequential(*list(model.children())[:start])(x).detach()
    after = rest(model, start)
    size = a.numel()
    H = torch.autograd.functional.hessian(lambda a: loss(after(a), y), a).reshape(size, size)
    J = torch.autograd.functional.jacobian(after, a).reshape(-1, size)
    out = after(a).detach()
    B = torch.autograd.functional.hessian(lambda o: loss(o, y), out).reshape(len(J), len(J))
    return {"hessian": H.trace().item(), "gauss_newton": (J.T @ B @ J).trace().item()}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("make", "layer"), [(mlp, 0), (mlp, 1), (conv, 1), (batch_norm, 1)])
def test_traces_of_every_loss(name, make, layer):
    model, (loss, y) = make().eval(), LOSSES[name]
    wanted = dense_traces(model, layer + 1, loss, inputs(), y)
    for data in ((inputs(), y), pieces(inputs(), y, 5, 12)):
        for of, value in wanted.items():
            found = activation_trace(model, loss, data, layer=str(layer), of=of)
            assert found.value == pytest.approx(value, rel=1e-9, abs=1e-13)
            assert (found.method, found.of) == ("exact", of)


def test_estimates_have_intervals():
    model = nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 3)).double()
    truth = dense_traces(model, 1, CROSS, *DATA)["hessian"]
    found = activation_trace(model, CROSS, DATA, layer="0", max_products=60, seed=2)
    assert found.method != "exact"
    assert found.covers(truth)
    assert activation_trace(model, CROSS, DATA, layer="0", of="gauss_newton").n_products == 2


def test_a_curvature_is_used_and_the_model_is_not_changed():
    model = mlp().eval()
    before = model(inputs())
    curvature = Curvature(model, CROSS, DATA)
    assert activation_trace(curvature, layer="0").value == activation_trace(model, CROSS, DATA, layer="0").value
    assert torch.equal(model(inputs()), before)
    assert not model[0]._forward_hooks


def test_one_number_for_each_sample():
    scalar = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0), nn.Tanh()).double()
    x, y = inputs(), values()[:, 0]
    wanted = dense_traces(scalar, 2, nn.MSELoss(), x, y)
    for of, value in wanted.items():
        found = activation_trace(scalar, nn.MSELoss(), (x, y), layer="1", of=of)
        assert found.value == pytest.approx(value, rel=1e-9)


class Pair(nn.Module):
    """A layer that returns a tuple."""

    def forward(self, x):
        return x.tanh(), None


class Tokens(nn.Module):
    """A language model with a layer that returns a tuple, and an inner layer that may be called twice."""

    def __init__(self, twice=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.inner, self.head = nn.Embedding(7, 4), Pair(), nn.Linear(4, 7)
        self.twice = twice
        self.double()

    def forward(self, input_ids, labels=None):
        hidden = self.inner(self.embedding(input_ids).cumsum(1))[0]
        logits = self.head(self.inner(hidden)[0] if self.twice else hidden)
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return SimpleNamespace(logits=logits, loss=loss)


def test_batches_of_a_trainer_and_tuples():
    tokens = torch.randint(7, (5, 4), generator=torch.Generator().manual_seed(0))
    model = Tokens()
    hidden = model.embedding(tokens).cumsum(1).tanh().detach()

    def loss(hidden):
        return F.cross_entropy(model.head(hidden)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    H = torch.autograd.functional.hessian(loss, hidden).reshape(80, 80)
    batches = [{"input_ids": some, "labels": some} for some in tokens.split(2)]
    found = activation_trace(model, None, batches, layer="inner", method="exact")
    assert found.value == pytest.approx(H.trace().item(), rel=1e-10)
    ragged = [*batches, {"input_ids": tokens[:, :3], "labels": tokens[:, :3]}]
    with pytest.raises(InputError, match=r"shape \(3, 4\) in one sample and \(4, 4\) in another"):
        activation_trace(model, None, ragged, layer="inner", method="exact")
    with pytest.raises(InputError, match="'inner' was called 2 times, expected once"):
        activation_trace(Tokens(twice=True), None, batches, layer="inner")


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="layer is 'hidden', expected the name of a submodule: 0, 1, 2"):
        activation_trace(mlp(), CROSS, DATA, layer="hidden")
    with pytest.raises(InputError, match="the loss of one sample depends on the outputs of '0' for another"):
        activation_trace(batch_norm(), CROSS, DATA, layer="0", mode="train")
    with pytest.raises(InputError, match="for another, expected samples that do not interact"):
        activation_trace(mlp(), lambda o, y: F.mse_loss(o - o.mean(0), y), (inputs(), values()), layer="0")
    flat = nn.Sequential(nn.Linear(4, 6), nn.Flatten(0), nn.Unflatten(0, (17, 6)), nn.Linear(6, 3)).double()
    with pytest.raises(InputError, match="17 samples, expected one row for each"):
        activation_trace(flat, CROSS, DATA, layer="1")
    with pytest.raises(InputError, match="no samples"):
        activation_trace(mlp(), CROSS, [], layer="0")


@pytest.mark.parametrize("layer", [["0"], None, 0, "nine"])
def test_a_layer_is_the_name_of_a_submodule(layer):
    with pytest.raises(InputError, match=r"layer is .*, expected the name of a submodule: 0"):
        activation_trace(
            nn.Sequential(nn.Linear(3, 1)), nn.MSELoss(), (torch.ones(2, 3), torch.ones(2, 1)), layer=layer
        )
