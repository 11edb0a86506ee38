"""Trained networks whose layers are rescaled against each other, with the measures of flatness before and after."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from flatmin.errors import InputError
from flatmin.lab.networks import Square
from flatmin.lab.runs.experiment import Metrics, as_lists
from flatmin.nn.rescaled import Rescaled, rescaling
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["ranked", "rescaled"]

#: Numbers of inputs, of hidden units, of training samples, and of test samples.
INPUTS, WIDTH, TRAIN, TEST = 9, 16, 60, 500
#: Factors by which the first layer is multiplied and the second layer divided, by their names.
SCALES = {"none": 1.0, "1/64": 1 / 64, "64": 64.0}
#: Standard deviations of the noise in the training labels of the networks of `ranked`.
NOISES = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
#: Ratio of the rescaled trace of a network in `ranked` to that of the network with the next larger error.
STEP = 1.5
LOSS = nn.MSELoss()


def _convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 8, 2), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    )


#: Networks with homogeneous activations, whose layers can be rescaled, and one with tanh, whose layers cannot.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)),
    "convolution": _convolutional,
    "quadratic": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), Square(), nn.Linear(WIDTH, 1)),
    "tanh": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)),
}


def _data(seed: int, noise: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return inputs and noisy labels for training, inputs and clean labels for testing, of a random ReLU teacher."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(TRAIN + TEST, INPUTS, generator=rng, dtype=torch.float64)
    teacher = torch.randn(INPUTS, 3, generator=rng, dtype=torch.float64) / math.sqrt(INPUTS)
    clean = torch.relu(x @ teacher).sum(1, keepdim=True)
    y = clean + noise * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], clean[TRAIN:]


def _trained(make: Callable[[], nn.Module], x: Tensor, y: Tensor, steps: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make().double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        optimizer.step()
    return model


def _measured(point: Rescaled) -> dict[str, Any]:
    return {
        "alpha": point.alpha,
        "function_change": point.function_change,
        "trace": point.trace.value,
        "largest": point.largest.value,
        "relative": point.relative.value,
        "normalized": point.normalized.value,
    }


def rescaled(name: str, steps: int, seed: int) -> Metrics:
    """Return the measures of one network at all scales as lists, or a metric that says that rescaling was refused."""
    x, y, _, _ = _data(seed, 0.3)
    model = _trained(NETWORKS[name], x, y, steps, seed)
    try:
        shown = rescaling(model, LOSS, (x, y), alphas=SCALES.values(), method="exact")
    except InputError:
        with torch.no_grad():
            moved = model[2](torch.tanh(2 * model[0](x)) / 2)  # type: ignore[index]
            change = float((moved - model(x)).norm() / model(x).norm())
        return {"scaling": ["refused: 2"], "refused": True, "function_change": [change]}
    rows = [{"scaling": scaling} | _measured(point) for scaling, point in zip(SCALES, shown.points, strict=True)]
    return as_lists(rows) | {"refused": False}


def _scale(model: nn.Module, data: tuple[Tensor, Tensor], target: float) -> float:
    """Return α ≥ 1 for which the trace ``first/α² + α² second + rest`` is the target."""
    groups = hessian_trace(model, LOSS, data, groups="parameter", method="exact").groups
    assert groups is not None
    first, second = groups["0.weight"].value + groups["0.bias"].value, groups["2.weight"].value
    rest = groups["2.bias"].value - target
    return math.sqrt((-rest + math.sqrt(rest**2 - 4 * first * second)) / (2 * second))


def ranked(steps: int, seed: int) -> Metrics:
    """Return the measures of networks with increasing noise, as trained and rescaled so that their traces decrease."""
    trained: list[tuple[dict[str, Any], nn.Module, tuple[Tensor, Tensor]]] = []
    for noise in NOISES:
        x, y, x_test, y_test = _data(seed, noise)
        model = _trained(NETWORKS["relu"], x, y, steps, seed)
        with torch.no_grad():
            error = float(LOSS(model(x_test), y_test))
        (point,) = rescaling(model, LOSS, (x, y), alphas=[1], method="exact").points
        row = {"noise": noise, "test_error": error, "scaling": "none"}
        trained.append((row | _measured(point), model, (x, y)))
    target = 2 * max(float(row["trace"]) for row, _, _ in trained)
    chosen = []
    for row, model, data in sorted(trained, key=lambda entry: -float(entry[0]["test_error"])):
        alpha = _scale(model, data, target)
        (point,) = rescaling(model, LOSS, data, alphas=[alpha], method="exact").points
        chosen.append(row | {"scaling": "chosen"} | _measured(point))
        target *= STEP
    return as_lists([row for row, _, _ in trained] + chosen) | {"refused": False}
