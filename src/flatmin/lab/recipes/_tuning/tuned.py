"""Methods compared at an equal tuning budget: several seeds, fresh test data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.claims import interval
from flatmin.lab.recipes._tuning.methods import METHODS, Method
from flatmin.lab.recipes._tuning.replicas import Replicas
from flatmin.nn.spectrum.trace import hessian_trace
from flatmin.nn.threads import one_torch_thread

__all__ = ["Data", "Setting", "by_seed", "compare", "draw_errors"]

#: Inputs (S, n, d) and targets (S, n, …) of S seeds.
Samples = tuple[Tensor, Tensor]
Row = dict[str, Any]
#: Products for a trace in the table: two digits.
PRODUCTS = 40


@dataclass(frozen=True)
class Data:
    """What is trained on, what strengths are chosen by, and what is never seen before the end; S seeds of each."""

    train: Samples
    validation: Samples
    test: Samples

    @classmethod
    def of(cls, draws: Sequence[Sequence[tuple[Array, Array]]]) -> Data:
        """Return the data of a list that has, for each seed, three pairs of inputs (n, d) and targets (n, …)."""
        parts = []
        for part in range(3):
            x = torch.from_numpy(np.stack([draw[part][0] for draw in draws])).float()
            y = torch.from_numpy(np.stack([draw[part][1] for draw in draws]))
            parts.append((x, y.float() if y.is_floating_point() else y))
        return cls(*parts)

    def transformed(self, transform: Callable[[Tensor], Tensor] | None) -> Data:
        """Return data whose inputs are multiplied by a matrix and a number, both found on the training inputs.

        The number makes their mean square 1, so that one step size serves all.
        """
        x = self.train[0]
        matrices = torch.stack([torch.eye(x.shape[-1]) if transform is None else transform(each) for each in x])
        matrices = matrices / (x @ matrices).square().mean((1, 2), keepdim=True).sqrt()
        return Data(*((x @ matrices, y) for x, y in (self.train, self.validation, self.test)))


@dataclass(frozen=True)
class Setting:
    """Data, networks for them, and how these are trained and judged.

    Attributes
    ----------
    columns : dict
        What stands in the rows beside method and seed.
    data : Data
        As drawn.
    network : callable
        Returns a new network for a number of inputs; its weights come from the global generator of torch.
    loss : nn.Module
        Averages over samples.
    error : callable
        The error (S,) of outputs (S, n, …) and targets (S, n, …).
    strengths : dict of str to sequence of float or ndarray
        What each method tries, by its name in `METHODS`: as many for each.
    steps, lr : int, float
        Steps of Adam; their size falls linearly to zero.
    batch : int or None
        Samples a step; None for all.
    """

    columns: Row
    data: Data
    network: Callable[[int], nn.Sequential]
    loss: nn.Module
    error: Callable[[Tensor, Tensor], Tensor]
    strengths: Mapping[str, Sequence[float] | Array]
    steps: int
    lr: float = 0.02
    batch: int | None = None


def compare(setting: Setting, seed: int) -> list[Row]:
    """Return one row for each method and seed: the test error of the strength that did best on validation data.

    Among strengths as good the largest is taken.
    """
    with one_torch_thread():
        return [row for name in setting.strengths for row in _tuned(setting, name, METHODS[name], seed)]


def _tuned(setting: Setting, name: str, method: Method, seed: int) -> Iterator[Row]:
    data = setting.data.transformed(method.transform)
    best: dict[int, tuple[float, Row, nn.Module]] = {}
    tried = sorted(setting.strengths[name])
    for strength in tried:
        model = _train(setting, data, method, strength, seed)
        chosen_by, error = (_errors(setting, model, part) for part in (data.validation, data.test))
        for s in range(len(model)):
            if s not in best or chosen_by[s] <= best[s][0]:
                found = {"strength": strength, "validation": chosen_by[s], "error": error[s]}
                best[s] = chosen_by[s], found, model.replica(s)
    for s, (_, found, chosen) in best.items():
        loss, trace = _loss_and_trace(chosen, setting.loss, data.train[0][s], data.train[1][s])
        edge = found["strength"] in (tried[0], tried[-1])
        tuned = {"method": name, "seed": s, "tried": len(tried)} | found | {"at_edge": edge}
        yield setting.columns | tuned | {"loss": loss, "trace": trace}


def _loss_and_trace(network: nn.Module, loss: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    with torch.no_grad():
        value = float(loss(network(x), y))
    if not math.isfinite(value):
        return math.inf, math.inf
    return value, hessian_trace(network, loss, (x, y), of="gauss_newton", max_products=PRODUCTS).value


def _train(setting: Setting, data: Data, method: Method, strength: float, seed: int) -> Replicas:
    """Return networks trained with one strength, the same start and batches for all strengths and methods."""
    x, y = data.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Replicas([setting.network(x.shape[-1]) for _ in range(len(x))])
    training = method.start(model, setting.loss, setting.lr, strength)
    sizes = [group["lr"] for group in training.optimizer.param_groups]
    batches = _batches(x.shape[1], setting.batch, seed)
    for step in range(setting.steps):
        for group, size in zip(training.optimizer.param_groups, sizes, strict=True):
            group["lr"] = size * (1 - step / setting.steps)
        index = next(batches)
        training.optimizer.zero_grad()
        training.objective(x[:, index], y[:, index].flatten(0, 1)).backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
    return model


def _batches(n: int, size: int | None, seed: int) -> Iterator[Any]:
    """Give the numbers of samples of one batch after another."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        if size is None:
            yield slice(None)
        else:
            order = torch.randperm(n, generator=generator)
            yield from torch.split(order[: n // size * size], size)


@torch.no_grad()
def _errors(setting: Setting, model: Replicas, samples: Samples) -> list[float]:
    x, y = samples
    errors: list[float] = setting.error(model(x).unflatten(0, x.shape[:2]), y).nan_to_num(torch.inf).tolist()
    return errors


def by_seed(rows: list[Row], method: str, key: str = "error", **columns: Any) -> Array:
    """Return a number of all seeds of a method, where the given columns have the given values."""
    wanted = {"method": method, **columns}
    chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return np.array([row[key] for row in sorted(chosen, key=lambda row: row["seed"])])


def draw_errors(figure: Any, rows: list[Row], setting: str, label: str, *, log: bool = False) -> None:
    """Draw the test errors of all methods with their intervals, one panel for each value of a column."""
    values, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in (setting, "method"))
    axes = figure.subplots(1, len(values), sharey=True, sharex=log, squeeze=False)[0]
    for ax, value in zip(axes, values, strict=True):
        for height, method in enumerate(reversed(methods)):
            errors = by_seed(rows, method, **{setting: value})
            if not errors.size:
                continue
            ax.plot(errors, np.full(errors.size, height), ".", color="0.75", markersize=4)
            low, high = interval(errors) if errors.size > 1 else (errors[0], errors[0])
            color = "C3" if method == "trace penalty" else "C0"
            ax.plot([low, high], [height, height], "-", color=color)
            ax.plot(errors.mean(), height, "o", color=color)
        ax.set(xlabel=label, yticks=range(len(methods)), yticklabels=methods[::-1])
        ax.set_title(value, fontsize="medium")
        if log:
            ax.set_xscale("log")
