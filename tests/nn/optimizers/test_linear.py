"""Perturbations of linear layers: their gradients, outputs at perturbed weights, and models that they do not serve."""

import pytest
import torch
from torch import nn

from flatmin.nn.optimizers._linear import LinearPerturbations
from flatmin.nn.optimizers._tape import Tape
from tests.nn.optimizers.training import close, data, gradient, norm

RHO = 0.3


def perceptron(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5, bias=bias), nn.Tanh(), nn.Linear(5, 2)).double()


def recorded(model, loss, x, y):
    """Return the tape of one pass; its owner, and with it the hooks, end here."""
    tape = Tape(owner := nn.Identity(), model, loss)
    loss(model(x), y).backward()
    del owner
    return tape


@pytest.mark.parametrize("frozen", [(), ("0.weight",), ("0.bias", "2.weight")])
def test_sums_of_gradients_and_of_their_norms(frozen):
    model, loss = perceptron(), nn.MSELoss(reduction="sum")
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    (x, y), trained = data(1)[0], [p for p in model.parameters() if p.requires_grad]
    perturbations = LinearPerturbations(model, trained)
    assert perturbations.apply
    assert perturbations.find(recorded(model, loss, x, y), [len(x)], RHO)
    found = perturbations.gradient()
    assert close([found[id(p)] for p in trained], [p.grad for p in trained])
    single = [torch.autograd.grad(loss(model(a[None]), b[None]), trained) for a, b in zip(x, y, strict=True)]
    assert perturbations.size == pytest.approx(sum(norm(g).item() for g in single))


def test_each_example_is_evaluated_at_its_own_weights():
    model, loss, ((x, y),) = perceptron(), nn.MSELoss(reduction="sum"), data(1)
    perturbations = LinearPerturbations(model, list(model.parameters()))
    perturbations.find(recorded(model, loss, x, y), [len(x)], RHO)
    with perturbations.applied():
        found = model(x)
    for a, b, output in zip(x, y, found, strict=True):
        plain = gradient(model, loss, a[None], b[None])
        weights = [p + RHO * g / norm(plain) for p, g in zip(model.parameters(), plain, strict=True)]
        state = dict(zip((name for name, _ in model.named_parameters()), weights, strict=True))
        assert torch.allclose(torch.func.functional_call(model, state, a), output, rtol=1e-12)
    assert not torch.equal(model(x), found), "the hooks are removed"


class Twice(nn.Module):
    """Calls a layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))[:, :2]


def test_layers_that_are_called_twice_or_on_other_rows_are_not_served():
    model, loss, ((x, y),) = Twice().double(), nn.MSELoss(), data(1)
    perturbations = LinearPerturbations(model, list(model.parameters()))
    assert not perturbations.find(recorded(model, loss, x, y), [len(x)], RHO)
    model = perceptron()
    perturbations = LinearPerturbations(model, list(model.parameters()))
    assert not perturbations.find(recorded(model, loss, x, y), [len(x) + 1], RHO)


def test_models_that_are_served():
    conv = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 2))
    shared, other = nn.Linear(3, 3), nn.Linear(3, 3)
    other.weight = shared.weight
    cases = (perceptron(), True), (Twice(), True), (conv, False), (nn.Sequential(shared, other), False)
    for model, expected in cases:
        assert LinearPerturbations(model, list(model.parameters())).apply is expected
    assert LinearPerturbations(conv, list(conv[3].parameters())).apply, "the convolution is not trained"
