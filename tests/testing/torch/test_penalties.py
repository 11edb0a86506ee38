"""The test of penalties: its exact numbers, what it finds, and every penalty of ours at the noise floor."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flatmin.errors import InputError
from flatmin.testing.torch import check_penalty
from tests.nn.batches import BATCH, LABELS, LOSSES, NETWORKS, dense_trace, make, mlp, seeded
from tests.nn.networks import dense, dense_gauss_newton


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("loss", ["squared", "cross entropy"])
def test_exact_numbers(name, loss):
    """The trace is that of matrices by another route; its gradient that of differences."""
    model, (loss, y) = seeded(NETWORKS[name]), LOSSES[loss]
    traces = {"gauss_newton": dense_gauss_newton, "hessian": dense}
    for of, matrix in traces.items():
        trace = dense_trace(model, loss, BATCH, y, of)
        assert trace.item() == pytest.approx(torch.trace(matrix(model, loss, BATCH, y)).item(), rel=1e-12)
        weight = model[-1].weight
        (slope,) = torch.autograd.grad(trace, weight)
        sides = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                weight[0, 1] += step
            sides.append(dense_trace(model, loss, BATCH, y, of).item())
        with torch.no_grad():
            weight[0, 1] += 1e-5
        assert slope[0, 1].item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


def confident(name):
    """Return a network that is sure of some of its answers, where the probabilities matter."""
    model = seeded(NETWORKS[name])
    with torch.no_grad():
        model[-1].weight *= 3
    return model


WAYS = {
    "vjp": {"probe": "vjp"},
    "per example": {"probe": "per_example"},
    "lazy": {"every": 2},
    "hessian": {"of": "hessian"},
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("way", ["vjp", "per example", "hessian"])
@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("loss", ["squared", "cross entropy"])
def test_no_bias_is_seen(way, name, loss):
    assert_unbiased(way, name, loss, 200, 0.12)


@pytest.mark.slow
def test_no_bias_is_seen_through_combinations_of_channels():
    assert_unbiased("per example", "wide", "cross entropy", 400, 0.12)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mlp", "conv", "wide"])
@pytest.mark.parametrize("loss", ["squared", "cross entropy"])
def test_no_bias_is_seen_at_one_per_cent(way, name, loss):
    assert_unbiased(way, name, loss, 8000, 0.03 if way == "lazy" else 0.012)


def assert_unbiased(way, name, loss, draws, floor):
    model, (loss, y) = confident(name), LOSSES[loss]
    penalty = make(model, loss, **WAYS[way], seed=5)
    check = check_penalty(penalty, model, loss, BATCH, y, of=penalty.of, draws=draws)
    assert check.holds
    assert abs(check.bias) < 4 * check.floor
    assert check.floor < floor
    assert check.value == pytest.approx(check.exact, rel=10 * floor)


def sampled_labels(model):
    """Return the penalty of sampled labels: n times the squared gradient of a batch with labels from the model."""
    generator = torch.Generator().manual_seed(0)

    def penalty(x, y):
        outputs = model(x)
        labels = torch.multinomial(outputs.detach().softmax(1), 1, generator=generator).squeeze(1)
        gradients = torch.autograd.grad(F.cross_entropy(outputs, labels), list(model.parameters()), create_graph=True)
        return len(x) * sum(g.square().sum() for g in gradients)

    return penalty


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_sampled_labels_fail_by_their_gradient_alone(name):
    model = confident(name)
    check = check_penalty(sampled_labels(model), model, F.cross_entropy, BATCH, LABELS, draws=1000)
    assert not check.holds
    assert abs(check.z["value"]) < 4
    assert check.bias < -0.2
    assert check.bias < -5 * check.floor


@pytest.mark.slow
def test_a_small_bias_is_seen_by_enough_draws():
    model = confident("mlp")
    penalty = make(model, nn.MSELoss(), probe="per_example")
    y = LOSSES["squared"][1]
    check = check_penalty(lambda x, y: 1.05 * penalty(x, y), model, nn.MSELoss(), BATCH, y, draws=600)
    assert not check.holds
    assert check.bias == pytest.approx(0.05, abs=4 * check.floor)
    assert set(check.z) >= {"value", "gradient", "0.weight", "random 1"}


def test_without_noise_rounding_errors_are_no_bias():
    model, y = confident("mlp"), LOSSES["squared"][1]
    check = check_penalty(lambda x, y: dense_trace(model, nn.MSELoss(), x, y), model, nn.MSELoss(), BATCH, y, draws=20)
    assert check.holds
    shifted = check_penalty(
        lambda x, y: 1e-6 + dense_trace(model, nn.MSELoss(), x, y), model, nn.MSELoss(), BATCH, y, draws=20
    )
    assert not shifted.holds


def test_a_trace_that_no_weight_changes():
    model, y = seeded(lambda: nn.Linear(4, 3)), LOSSES["squared"][1]
    check = check_penalty(make(model, nn.MSELoss()), model, nn.MSELoss(), BATCH, y, draws=100)
    assert check.holds
    assert check.bias == 0


def test_the_model_is_left_alone():
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert check_penalty(make(model), model, F.cross_entropy, BATCH, LABELS, draws=200).holds
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "fisher"}, "of is 'fisher', expected 'gauss_newton' or 'hessian'"),
        ({"draws": 3}, "draws is 3, expected a whole number of at least 20"),
        ({"penalty": lambda x, y: 3.0}, "the penalty returns 3.0, expected a tensor of one number with a gradient"),
        ({"penalty": 3}, "penalty is a int, expected a function of x and y"),
        ({"model": 3}, "model is a int, expected a torch.nn.Module"),
    ],
)
def test_wrong_arguments(options, message):
    model = seeded(mlp)
    given = {"penalty": make(model), "model": model, "loss": F.cross_entropy, "x": BATCH, "y": LABELS} | options
    with pytest.raises(InputError, match=message):
        check_penalty(**given)
