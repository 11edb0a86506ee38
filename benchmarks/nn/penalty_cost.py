"""Cost of a trace penalty, and its cost for a given accuracy compared with BackPACK and curvlinops.

python -m benchmarks.nn.penalty_cost          four minutes
python -m benchmarks.nn.penalty_cost --quick  one
python -m benchmarks.nn.penalty_cost --steps  the first table alone

Two networks learn scikit-learn's digits (batches of 128, half trained): a ReLU network 64-256-256-10, and a
convolutional one. All methods take turns, so that a ratio does not depend on other load of the machine; numbers are
medians of ratios of processor times. ``default`` squares single examples if no layer convolves; ``per batch`` is
``probe="vjp"``.

1. A training step with the penalty, over a step without. ``lazily`` is the mean of steps with ``every=4``. The default
   is judged on the two networks; below are some that cost more, by normalization or few channels.
2. Estimates (by flatmin with ``probe="per_example"``, else ``per batch``) of the trace and, if they can be
   differentiated, of its gradient. The trace is that of the whole data, and every estimate draws a batch of its own, as
   in training: ``noise`` is its relative standard deviation, with ``at one batch`` the part that is the probe's.
   ``work`` is seconds times variance, the cost of a given accuracy, over that of the best of flatmin. A gradient is
   computed by a backward pass through the estimate.

curvlinops: ``hutchinson_trace`` of its ``GGNLinearOperator``, whose products cannot be differentiated. BackPACK: the
sums of ``DiagGGNExact`` and ``DiagGGNMC``, differentiated through ``backward(create_graph=True)``; the second draws
labels, and for cross entropy its gradient is biased: ``bias`` is the share of the exact gradient that is lost.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import curvlinops
import torch
from backpack import backpack, extend
from backpack.extensions import DiagGGNExact, DiagGGNMC
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.report import line, machine, mark
from flatmin.nn import HessianTracePenalty

BATCH = 128
#: Required cost of a penalised step over that of a plain one.
WANTED, LAZILY = 3.5, 1.6
#: Number of steps in a turn, enough that the effect of another model on the caches is negligible.
STEPS = 16

Estimate = Callable[[Tensor, Tensor], Tensor]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def convolutional() -> nn.Module:
    first = nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
    return nn.Sequential(
        *first, nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)
    )


def normalized(kind: Callable[[int], nn.Module]) -> nn.Module:
    hidden = nn.Linear(64, 256), kind(256), nn.ReLU(), nn.Linear(256, 256), kind(256), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(256, 10))


def narrow(*more: Callable[[], nn.Module]) -> nn.Module:
    """A network with sixteen channels on 16 × 16 pixels."""
    layers = [nn.Unflatten(1, (1, 8, 8)), nn.Upsample(scale_factor=2)]
    for channels in (1, 16):
        layers += [nn.Conv2d(channels, 16, 3, padding=1), *(make() for make in more), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))


MODELS = {"64-256-256-10": mlp, "convolutional": convolutional}
DEARER: dict[str, Callable[[], nn.Module]] = {
    "64-256-256-10, layer norm": partial(normalized, nn.LayerNorm),
    "64-256-256-10, batch norm": partial(normalized, nn.BatchNorm1d),
    "narrow convolutions": narrow,
    "narrow, batch norm": partial(narrow, partial(nn.BatchNorm2d, 16)),
    "narrow, group norm": partial(narrow, partial(nn.GroupNorm, 4, 16)),
}
LOSSES = {"cross entropy": nn.CrossEntropyLoss, "squared": nn.MSELoss}


def data(loss: str) -> tuple[Tensor, Tensor]:
    X, y = load_digits(return_X_y=True)
    x = torch.tensor((X - X.mean()) / X.std(), dtype=torch.float32)
    y = torch.tensor(y)
    return x, y if loss == "cross entropy" else nn.functional.one_hot(y, 10).float()


def half_trained(make: Callable[[], nn.Module], loss: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for index in torch.randperm(len(x) * 2).fmod(len(x)).split(BATCH):
        optimizer.zero_grad()
        loss(model(x[index]), y[index]).backward()
        optimizer.step()
    return model


def interleaved(runs: dict[str, Callable[[], object]], rounds: int, base: str) -> dict[str, float]:
    """Return the median over rounds of each time, over that of the base in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(2 + rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    pairs = {name: zip(seconds[name][2:], seconds[base][2:], strict=True) for name in runs}
    return {name: statistics.median(a / b for a, b in pair) for name, pair in pairs.items()}


def some_steps(model: nn.Module, loss: nn.Module, x: Tensor, y: Tensor, **options: object) -> Callable[[], None]:
    """Return a function that trains for some steps, with a penalty if it has options."""
    model = deepcopy(model)
    penalty = HessianTracePenalty(model, loss, seed=0, **options) if options else None
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            total = penalty.objective(x, y, 1e-4) if penalty else loss(model(x), y)
            total.backward()
            optimizer.step()

    return run


def step_costs(rounds: int) -> None:
    ways = {
        "per batch": {"probe": "vjp"},
        "default": {"probe": "auto"},
        "whole Hessian": {"of": "hessian"},
        "per batch, lazily": {"probe": "vjp", "every": 4},
        "default, lazily": {"probe": "auto", "every": 4},
        "whole Hessian, lazily": {"of": "hessian", "every": 4},
    }
    line(["network", "loss", *ways, f"≤ {WANTED}, lazily ≤ {LAZILY}"])
    print("|" + "---|" * (len(ways) + 3))
    for title, make in (MODELS | DEARER).items():
        for name, kind in LOSSES.items() if title in MODELS else [("cross entropy", nn.CrossEntropyLoss)]:
            (x, y), loss = data(name), kind()
            model = half_trained(make, loss, x, y)
            runs = {way: some_steps(model, loss, x[:BATCH], y[:BATCH], **options) for way, options in ways.items()}
            cost = interleaved({"plain": some_steps(model, loss, x[:BATCH], y[:BATCH])} | runs, rounds, "plain")
            met = mark(cost["default"] <= WANTED and cost["default, lazily"] <= LAZILY) if title in MODELS else ""
            line([title, name, *(f"{cost[way]:.2f}" for way in ways), met])


def by_curvlinops(model: nn.Module, loss: nn.Module, vectors: int, x: Tensor, y: Tensor) -> Tensor:
    parameters = list(model.parameters())
    matrix = curvlinops.GGNLinearOperator(model, loss, parameters, [(x, y)], check_deterministic=False)
    return curvlinops.hutchinson_trace(matrix, vectors)


def by_backpack(model: nn.Module, loss: nn.Module, extension: object, graph: bool, x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of a diagonal; the gradients that are computed with it are not reset."""
    value = loss(model(x), y)
    with backpack(extension):
        value.backward(create_graph=graph)
    total = sum(getattr(p, extension.savefield).sum() for p in model.parameters())
    for p in model.parameters():
        p.grad = None
        delattr(p, extension.savefield)
    return total


def estimates(model: nn.Module, loss: nn.Module) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return ways to estimate the trace, and ways that can be differentiated."""
    extended, extended_loss = extend(deepcopy(model)), extend(deepcopy(loss))
    ours = {
        "flatmin": HessianTracePenalty(model, loss, probe="per_example", seed=0),
        "flatmin, 4 probes": HessianTracePenalty(model, loss, probe="per_example", probes=4, seed=0),
        "flatmin, per batch": HessianTracePenalty(model, loss, probe="vjp", seed=0),
    }
    diagonals = {"BackPACK, DiagGGNMC": DiagGGNMC(mc_samples=1), "BackPACK, DiagGGNExact": DiagGGNExact()}
    theirs = {
        name: partial(by_backpack, extended, extended_loss, diagonal, True) for name, diagonal in diagonals.items()
    }
    values = {name: torch.no_grad()(penalty) for name, penalty in ours.items()}
    values |= {f"curvlinops, {k} vector{'s'[: k > 1]}": partial(by_curvlinops, model, loss, k) for k in (1, 10)}
    values |= {name: partial(way.func, *way.args[:3], False) for name, way in theirs.items()}
    return values, {**ours, **theirs}


def gradient(value: Tensor, model: nn.Module) -> Tensor:
    gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
    pairs = zip(gradients, model.parameters(), strict=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for g, p in pairs])


def noise(draw: Callable[[Tensor, Tensor], Tensor], batches: list[tuple[Tensor, Tensor]]) -> tuple[float, Tensor]:
    """Return the standard deviation of a draw, relative to the mean, and the mean."""
    rows = torch.stack([draw(x, y).reshape(-1).double() for x, y in batches])
    return float(rows.var(0).sum().sqrt() / rows.mean(0).norm()), rows.mean(0)


def accuracies(rounds: int, draws: int) -> None:
    line(["network", "loss", "of", "estimate", "time", "noise", "at one batch", "bias", "work"])
    print("|" + "---|" * 9)
    for title, make in MODELS.items():
        for name, kind in LOSSES.items():
            (x, y), loss = data(name), kind()
            model = half_trained(make, loss, x, y)
            batches = [(x[i], y[i]) for i in (torch.randperm(len(x))[:BATCH] for _ in range(draws))]
            for of, ways in zip(("trace", "gradient"), estimates(model, loss), strict=True):
                rows = measured(of, ways, model, batches, rounds)
                best = min(row["work"] for way, row in rows.items() if way.startswith("flatmin"))
                for way, row in rows.items():
                    numbers = [f"{row[c]:.3f}" for c in ("time", "noise", "at one batch", "bias")]
                    line([title, name, of, way, *numbers, f"{row['work'] / best:.2f}"])


def measured(of: str, ways: dict[str, Estimate], model: nn.Module, batches: list, rounds: int) -> dict[str, dict]:
    """Return the numbers of each way that are printed."""

    def drawn(way: Estimate) -> Estimate:
        if of == "trace":
            return way
        there = getattr(way, "model", None) or way.args[0]
        return lambda x, y: gradient(way(x, y), there)

    draw = {name: drawn(way) for name, way in ways.items()}
    time = interleaved({name: partial(d, *batches[0]) for name, d in draw.items()}, rounds, "flatmin")
    _, exact = noise(draw["BackPACK, DiagGGNExact"], batches)
    rows = {}
    for name, d in draw.items():
        total, mean = noise(d, batches)
        fixed, _ = noise(d, batches[:1] * len(batches))
        bias = float(mean @ exact / (exact @ exact)) - 1
        rows[name] = {
            "time": time[name],
            "noise": total,
            "at one batch": fixed,
            "bias": bias,
            "work": time[name] * total**2,
        }
    return rows


def main(arguments: list[str]) -> None:
    """Print the tables."""
    quick = "--quick" in arguments
    torch.set_num_threads(1)
    print(f"{machine()}; one thread\n")
    step_costs(5 if quick else 20)
    if "--steps" in arguments:
        return
    print()
    accuracies(5 if quick else 10, 20 if quick else 100)


if __name__ == "__main__":
    main(sys.argv[1:])
