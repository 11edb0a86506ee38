"""Targets that do not suit a loss are refused in one sentence by every measure, where PyTorch would broadcast them."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import (
    HessianTracePenalty,
    TokenCrossEntropy,
    activation_trace,
    adapter_flatness,
    hessian_diagonal,
    hessian_trace,
    largest_eigenvalue,
    loss_root,
    normalized_trace,
    relative_flatness,
    spectral_density,
)
from flatmin.nn.targets import check_labels, check_targets
from tests.nn.adapters.networks import plain
from tests.nn.networks import inputs, mlp

X, Y = inputs(8, 3), torch.linspace(0, 1, 8, dtype=torch.float64)
MEASURES = {
    "trace": hessian_trace,
    "exact Gauss-Newton": lambda *given: hessian_trace(*given, of="gauss_newton"),
    "eigenvalue": largest_eigenvalue,
    "density": spectral_density,
    "diagonal": hessian_diagonal,
    "activation": lambda *given: activation_trace(*given, layer="0"),
    "relative": lambda *given: relative_flatness(*given, layers=["0.weight"]),
    "normalized": lambda *given: normalized_trace(*given, layers=["0.weight"]),
    "penalty": lambda model, loss, data: HessianTracePenalty(model, loss, of="hessian")(*data),
    "objective": lambda model, loss, data: HessianTracePenalty(model, loss).objective(*data),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


@pytest.mark.parametrize("loss", [nn.MSELoss(), F.mse_loss, nn.L1Loss()], ids=["module", "function", "absolute"])
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_every_measure_refuses_targets_that_would_be_broadcast(measure, loss):
    if isinstance(loss, nn.L1Loss) and measure is MEASURES["objective"]:
        pytest.skip("the loss has no root")
    with pytest.raises(InputError, match=r"targets have shape \(8,\), expected that of the outputs, \(8, 1\)"):
        measure(network(), loss, (X, Y))


def test_adapters_refuse_targets_that_would_be_broadcast():
    model, _ = plain()
    model[4] = nn.Linear(5, 1).double()
    with pytest.raises(InputError, match=r"targets have shape \(12,\), expected that of the outputs, \(12, 1\)"):
        adapter_flatness(model, nn.MSELoss(), (inputs(12, 4), torch.linspace(0, 1, 12).double()))


def test_a_function_may_take_other_shapes_if_it_averages_over_samples():
    def flat(outputs, y):
        return F.mse_loss(outputs.squeeze(1), y)

    def broadcast(outputs, y):
        return ((outputs - y) ** 2).mean()

    model = network()
    wanted = hessian_trace(model, nn.MSELoss(), (X, Y[:, None]), method="exact").value
    assert hessian_trace(model, flat, (X, Y), method="exact").value == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(InputError, match="not an average over samples, expected targets that are not broadcast"):
        hessian_trace(model, broadcast, (X, Y), method="exact")


class Squeezed(nn.MSELoss):
    """A loss of somebody else, with a forward pass of its own."""

    def forward(self, outputs, targets):
        return super().forward(outputs.squeeze(1), targets)


def test_a_loss_with_its_own_forward_pass_is_not_judged():
    check_targets(Squeezed(), torch.zeros(3, 1), torch.zeros(3))
    check_targets(lambda outputs, targets: 0, "outputs", "targets")
    check_targets(nn.CrossEntropyLoss(), torch.zeros(3, 2), torch.tensor([0, 1, -100]))
    check_targets(nn.CrossEntropyLoss(), torch.zeros(3, 2, 4), torch.full((3, 2, 4), 0.5))
    check_targets(nn.NLLLoss(ignore_index=7), torch.zeros(3, 2, 4), torch.full((3, 4), 7))
    check_targets(nn.CrossEntropyLoss(), torch.zeros(2), torch.tensor(1))


LABELS = torch.arange(8) % 3


@pytest.mark.parametrize(
    ("loss", "y", "sentence"),
    [
        (nn.CrossEntropyLoss(), LABELS + 1, "a label is 3, expected 0 to 2 for outputs with 3 classes, or -100"),
        (nn.CrossEntropyLoss(), -1 - LABELS, "a label is -1, expected 0 to 2"),
        (nn.CrossEntropyLoss(), LABELS.double(), r"the labels are torch.float64, expected .*call labels.long\(\)"),
        (nn.CrossEntropyLoss(), LABELS.int(), r"the labels are torch.int32, expected .*call labels.long\(\)"),
        (nn.CrossEntropyLoss(), LABELS[:, None], r"targets have shape \(8, 1\), expected \(8,\)"),
        (nn.CrossEntropyLoss(), None, r"the targets are missing, expected a batch \(x, y\)"),
        (nn.CrossEntropyLoss(), [LABELS], "the targets are a list, expected a tensor"),
    ],
)
def test_labels_are_class_numbers_in_range(loss, y, sentence):
    x = inputs(8)
    with pytest.raises(InputError, match=sentence):
        hessian_trace(mlp(), loss, (x, y), of="gauss_newton")
    with pytest.raises(InputError, match=sentence):
        HessianTracePenalty(mlp(), loss)(x, y)
    with pytest.raises(InputError, match=sentence):
        HessianTracePenalty(mlp(), loss).objective(x, y)


def test_losses_of_tokens_name_what_they_need():
    logits, labels = torch.zeros(2, 4, 5), torch.zeros(2, 4, dtype=torch.long)
    for outputs, wrong, sentence in (
        ((logits,), labels, "the model returns a tuple, expected a tensor of logits"),
        (SimpleNamespace(logits=None), labels, "the model returns a NoneType, expected a tensor of logits"),
        (logits, labels.float(), "the labels are torch.float32, expected class numbers"),
        (logits, labels + 5, "a label is 5, expected 0 to 4"),
        (logits, labels.tolist(), "the labels are a list, expected a tensor"),
    ):
        with pytest.raises(InputError, match=sentence):
            TokenCrossEntropy()(outputs, wrong)
    with pytest.raises(InputError, match="a label is 5, expected 0 to 4"):
        loss_root(TokenCrossEntropy(), logits, labels + 5, logits)
    check_labels(logits, labels - 100, -1, -100)


def test_models_that_return_no_tensor_and_data_of_numpy_are_named():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            return self.inner(x), x

    with pytest.raises(InputError, match="the model returns a tuple, expected a tensor, or an object with"):
        hessian_trace(Pair(), nn.MSELoss(), (inputs(8), inputs(8, 3)))
    with pytest.raises(InputError, match=r"holds NumPy arrays, expected tensors; convert each array with torch.from"):
        hessian_trace(mlp(), nn.MSELoss(), (inputs(8).numpy(), inputs(8, 3).numpy()))
