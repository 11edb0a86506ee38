"""Networks as tasks."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.lab.race import NetworkTask, race
from flatmin.nn import hessian_trace
from tests.lab.race.small_tasks import batch_norm, mlp, network, samples, without_seconds

DATA = [samples(n, seed) for n, seed in ((24, 0), (20, 1), (30, 2))]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "quadratic"])
def test_digits(activation):
    pytest.importorskip("sklearn")
    task = NetworkTask.digits(activation)
    assert (len(task.targets), len(task.validation[1]), len(task.test[1])) == (300, 300, 1197)
    result = race(task, ["gradient-descent-medium", "adam"], budget=60, seeds=1, trials=2)
    start = task.observe(task.model(0))
    assert start.loss == pytest.approx(np.log(10), rel=0.05)
    assert all(row["relative_error"] < 0.3 < start.relative_error for row in result.table)
    assert all(row["flatness_gap"] is None and row["rank"] is None for row in result.table)
    assert result.flattest is None
    assert result.correlation is None or result.correlation.of == "scaled_trace"


@pytest.mark.parametrize("classes", [True, False])
def test_what_the_referee_sees(classes):
    task = network(classes=classes)
    model = task.model(4)
    observation = task.observe(model)
    x, y = task.test
    with torch.no_grad():
        loss = float(task.loss(model(task.inputs), task.targets))
        out = model(x)
    error = (out.argmax(1) != y).double().mean() if classes else (out - y).norm() / y.norm()
    assert observation.loss == pytest.approx(loss)
    assert observation.relative_error == pytest.approx(float(error))
    exact = hessian_trace(model, task.loss, (task.inputs, task.targets), of="gauss_newton", method="exact").value
    assert observation.scaled_trace == pytest.approx(exact, rel=0.15)
    assert observation == task.observe(model)


@pytest.mark.parametrize("make", [mlp, batch_norm])
def test_looking_changes_nothing(make):
    task = network(make=make)
    model = task.model(0).train()
    state = copy.deepcopy(model.state_dict())
    task.observe(model)
    task.tuning_score(model)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_models_of_a_seed_are_the_same_and_sizes_scale_matrices():
    task = network()
    first, again, other, large = task.model(0), task.model(0), task.model(1), task.model(0, "large")
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(3 * first[0].weight, large[0].weight)
    assert torch.equal(first[0].bias, large[0].bias)


@pytest.mark.slow
def test_training_never_sees_validation_or_test():
    plain = network()
    moved = NetworkTask(mlp, nn.CrossEntropyLoss(), DATA[0], DATA[1], (DATA[2][0] + 1, DATA[2][1]))
    results = [race(task, ["minibatch", "weight-decay"], budget=40, seeds=1, trials=2) for task in (plain, moved)]
    # Other test data change the error, and nothing else.
    rows = [[{k: v for k, v in row.items() if k != "relative_error"} for row in without_seconds(r)[0]] for r in results]
    assert rows[0] == rows[1]
    assert results[0].table != results[1].table
    assert plain.digest != moved.digest


def test_an_error_of_ones_own():
    task = NetworkTask(mlp, nn.CrossEntropyLoss(), *DATA, error=lambda outputs, targets: 7)
    assert task.observe(task.model(0)).relative_error == 7


def test_digest_knows_how_a_network_begins():
    wide = partial(nn.Linear, 4, 3)
    loss = nn.CrossEntropyLoss()
    digests = {
        NetworkTask(mlp, loss, *DATA).digest,
        NetworkTask(wide, loss, *DATA).digest,
        NetworkTask(mlp, nn.CrossEntropyLoss(label_smoothing=0.1), *DATA).digest,
    }
    assert len(digests) == 3
    assert NetworkTask(mlp, loss, *DATA).digest in digests


def lists():
    return nn.LSTM(4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": mlp()}, "network is a Sequential"),
        ({"network": 3}, "network is a int"),
        ({"network": list}, "returns a list"),
        ({"network": nn.Flatten}, "no trainable"),
        ({"network": lists}, "returns a tuple"),
        ({"network": partial(nn.Linear, 5, 3)}, "do not fit together"),
        ({"loss": torch.nn.functional.cross_entropy}, "loss is a function"),
        ({"loss": nn.CrossEntropyLoss(reduction="sum")}, "reduction='sum'"),
        ({"training": DATA[0][0]}, "training data are a Tensor"),
        ({"training": ([["a"]], DATA[0][1])}, "training data are no tensors"),
        ({"validation": (DATA[0][0], DATA[0][1][:3])}, "validation data have shapes"),
        ({"test": (DATA[0][0][:0], DATA[0][1][:0])}, "test data have shapes"),
        ({"training": (DATA[0][0] / 0, DATA[0][1])}, "not finite"),
        ({"error": lambda outputs, targets: outputs}, "do not fit together"),
    ],
)
def test_bad_arguments_are_said(change, message):
    given = {"network": mlp, "loss": nn.CrossEntropyLoss(), "training": DATA[0], "validation": DATA[1], "test": DATA[2]}
    with pytest.raises(InputError, match=message):
        NetworkTask(**given | change)


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match="activation is 'sine'"):
        NetworkTask.digits("sine")
