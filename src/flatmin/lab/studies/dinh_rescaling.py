"""Layers rescaled against each other: sharpness can be given to any network, and networks ranked by it at will.

The claim of Dinh et al. (2017): where an activation is positively homogeneous, multiplying one layer by α and dividing
the next one changes nothing that a network computes, and its trace and largest eigenvalue as much as one likes. So
these two alone say nothing about generalization: of trained networks, each can be rescaled such that the ones with the
largest error have the smallest trace. Relative flatness and layer-normalized traces do not move.

It would be refuted by outputs that change, by a sharpness that does not, or by measures called invariant that do. The
control is tanh, which is not homogeneous: there the same rescaling changes the function, and is refused.

Dinh, Pascanu, Bengio, Bengio, "Sharp minima can generalize for deep nets", ICML 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.studies.base import Findings, Row, Study
from flatmin.nn.rescaled import Rescaled, rescaling
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["STUDY"]

#: Inputs, hidden units, samples for training and for testing.
INPUTS, WIDTH, TRAIN, TEST = 9, 16, 60, 500
#: Scales of the first part.
SCALES = {"none": 1.0, "1/64": 1 / 64, "64": 64.0}
#: Standard deviations of the noise in the labels, which makes networks of the second part err.
NOISES = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0)
#: In the second part each network gets this times the trace of the next worse one.
STEP = 1.5
LOSS = nn.MSELoss()


class _Square(nn.Module):
    """The quadratic activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x**2


def _convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 8, 2), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    )


#: Networks whose layers can be rescaled, and one whose layers cannot.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)),
    "convolution": _convolutional,
    "quadratic": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), _Square(), nn.Linear(WIDTH, 1)),
    "tanh": lambda: nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)),
}
CONTROL = "tanh"


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


def _measured(point: Rescaled) -> Row:
    return {
        "alpha": point.alpha,
        "function_change": point.function_change,
        "trace": point.trace.value,
        "largest": point.largest.value,
        "relative": point.relative.value,
        "normalized": point.normalized.value,
    }


def _rescaled(name: str, steps: int, seed: int) -> list[Row]:
    """Return the measures of one network at all scales, or that it was refused."""
    x, y, _, _ = _data(seed, 0.3)
    model = _trained(NETWORKS[name], x, y, steps, seed)
    setting = {"network": name, "seed": seed}
    try:
        shown = rescaling(model, LOSS, (x, y), alphas=SCALES.values(), method="exact")
    except InputError:
        with torch.no_grad():
            moved = model[2](torch.tanh(2 * model[0](x)) / 2)  # type: ignore[index]
            change = float((moved - model(x)).norm() / model(x).norm())
        return [setting | {"scaling": "refused: 2", "refused": True, "function_change": change}]
    names = zip(SCALES, shown.points, strict=True)
    return [setting | {"scaling": scaling, "refused": False} | _measured(point) for scaling, point in names]


def _scale(model: nn.Module, data: tuple[Tensor, Tensor], target: float) -> float:
    """Return α ≥ 1 for which the trace ``first/α² + α² second + rest`` is the target."""
    groups = hessian_trace(model, LOSS, data, groups="parameter", method="exact").groups
    assert groups is not None
    first, second = groups["0.weight"].value + groups["0.bias"].value, groups["2.weight"].value
    rest = groups["2.bias"].value - target
    return math.sqrt((-rest + math.sqrt(rest**2 - 4 * first * second)) / (2 * second))


def _ranked(steps: int, seed: int) -> list[Row]:
    """Return networks of rising error as trained, and rescaled such that their traces fall."""
    trained: list[tuple[Row, nn.Module, tuple[Tensor, Tensor]]] = []
    for noise in NOISES:
        x, y, x_test, y_test = _data(seed, noise)
        model = _trained(NETWORKS["relu"], x, y, steps, seed)
        with torch.no_grad():
            error = float(LOSS(model(x_test), y_test))
        (point,) = rescaling(model, LOSS, (x, y), alphas=[1], method="exact").points
        row: Row = {"network": f"relu, noise {noise:g}", "seed": seed, "test_error": error, "scaling": "none"}
        trained.append((row | _measured(point), model, (x, y)))
    target = 2 * max(float(row["trace"]) for row, _, _ in trained)
    chosen = []
    for row, model, data in sorted(trained, key=lambda entry: -float(entry[0]["test_error"])):
        alpha = _scale(model, data, target)
        (point,) = rescaling(model, LOSS, data, alphas=[alpha], method="exact").points
        chosen.append(row | {"scaling": "chosen"} | _measured(point))
        target *= STEP
    return [row for row, _, _ in trained] + chosen


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    steps, seeds, repetitions = (100, 2, 3) if quick else (1000, 5, 10)
    one = [row for name in NETWORKS for s in range(seeds) for row in _rescaled(name, steps, seed + s)]
    two = [row for s in range(repetitions) for row in _ranked(steps, seed + s)]
    free = [row for row in one if row["network"] != CONTROL]
    control = [row for row in one if row["network"] == CONTROL]

    def against_none(key: str) -> list[float]:
        """Return each measure relatively to that of the same network as it was trained."""
        home = {(row["network"], row["seed"]): row[key] for row in free if row["scaling"] == "none"}
        return [row[key] / home[row["network"], row["seed"]] for row in free if row["scaling"] != "none"]

    def correlations(key: str, scaling: str) -> list[float]:
        """Return the rank correlation of a measure with the test error in each repetition."""
        found = []
        for s in sorted({row["seed"] for row in two}):
            rows = [row for row in two if row["seed"] == s and row["scaling"] == scaling]
            found.append(float(spearmanr([r[key] for r in rows], [r["test_error"] for r in rows]).statistic))
        return found

    changes = [row["function_change"] for row in free + two]
    moved = [abs(ratio - 1) for key in ("relative", "normalized") for ratio in against_none(key)]
    both = zip(correlations("relative", "none"), correlations("relative", "chosen"), strict=True)
    claims = [
        Claim.exact("outputs change by at most, relatively", max(changes), below=1e-12),
        Claim.exact("traces grow at least by", min(against_none("trace")), above=100),
        Claim.exact("largest eigenvalues grow at least by", min(against_none("largest")), above=100),
        Claim.exact("relative flatness and normalized traces change by at most", max(moved), below=1e-6),
        Claim.of_mean("rank correlation of trace and error as trained", correlations("trace", "none"), above=0.0),
        Claim.exact("the same after rescaling, at most", max(correlations("trace", "chosen")), below=-0.999),
        Claim.exact("that of relative flatness changes by at most", max(abs(a - b) for a, b in both), below=1e-9),
        Claim.exact("control, tanh: share refused", float(np.mean([row["refused"] for row in control])), above=1.0),
        Claim.of_mean("control, tanh: outputs change by", [row["function_change"] for row in control], above=0.05),
    ]
    return Findings(one + two, claims, by=("network", "scaling"), draw=lambda figure: _draw(figure, two))


def _draw(figure: Any, rows: list[Row]) -> None:
    axes = figure.subplots(1, 2, sharey=True)
    for ax, key, title in zip(axes, ("trace", "relative"), ("trace", "relative flatness"), strict=True):
        for scaling, marker, label in (("none", "o", "as trained"), ("chosen", "x", "rescaled, same outputs")):
            chosen = [row for row in rows if row["scaling"] == scaling]
            ax.plot([r[key] for r in chosen], [r["test_error"] for r in chosen], marker, alpha=0.7, label=label)
        ax.set(xscale="log", yscale="log", xlabel=title)
    axes[0].set_ylabel("test error")
    axes[0].legend()


STUDY = Study(
    name="dinh-rescaling",
    question="Does the sharpness of a network say anything about its function?",
    expectation="Not alone: layers of any ReLU, pooling or quadratic network can be rescaled to any larger trace, so "
    "that the ranking of trained networks by trace is reversed at the same outputs; relative flatness stays.",
    run=_run,
)
