"""Test errors of training methods whose strength is tuned on validation data, for several seeds at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.recipes._tuning.methods import METHODS, Method
from flatmin.lab.recipes._tuning.replicas import Replicas
from flatmin.lab.runs.experiment import Metrics, as_lists
from flatmin.nn.spectrum.trace import hessian_trace
from flatmin.nn.threads import one_torch_thread

__all__ = ["Data", "Setting", "errors", "mean_squared_error_over_variance", "training", "tuned_errors"]

#: Inputs (S, n, d) and targets (S, n, …) of S seeds.
Samples = tuple[Tensor, Tensor]
#: Number of matrix-vector products for a trace that is reported, enough for two digits.
PRODUCTS = 40


@dataclass(frozen=True)
class Data:
    """Samples for training, for choosing the strength, and for the final test; S seeds of each."""

    train: Samples
    validation: Samples
    test: Samples

    @classmethod
    def from_draws(cls, draws: Sequence[Sequence[tuple[Array, Array]]]) -> Data:
        """Return the data of a list that has, for each seed, three pairs of inputs (n, d) and targets (n, …)."""
        parts = []
        for part in range(3):
            x = torch.from_numpy(np.stack([draw[part][0] for draw in draws])).float()
            y = torch.from_numpy(np.stack([draw[part][1] for draw in draws]))
            parts.append((x, y.float() if y.is_floating_point() else y))
        return cls(*parts)

    def transformed(self, transform: Callable[[Tensor], Tensor] | None) -> Data:
        """Return data whose inputs are multiplied by a matrix and a number, both computed from the training inputs.

        The number makes their mean square 1, so that one step size suits all.
        """
        x = self.train[0]
        matrices = torch.stack([torch.eye(x.shape[-1]) if transform is None else transform(each) for each in x])
        matrices = matrices / (x @ matrices).square().mean((1, 2), keepdim=True).sqrt()
        return Data(*((x @ matrices, y) for x, y in (self.train, self.validation, self.test)))


@dataclass(frozen=True)
class Setting:
    """Data, networks, and how they are trained and tested.

    Attributes
    ----------
    data : Data
        The samples, before any transformation of inputs.
    network : callable
        Returns a new network for a number of inputs; its weights come from torch's global generator.
    loss : nn.Module
        A loss that averages over samples.
    error : callable
        The error (S,) of outputs (S, n, …) for targets (S, n, …).
    steps, lr : int, float
        Number of steps of Adam, and its step size at the start, which decreases linearly to zero.
    batch : int or None
        Samples per step; None for all.
    """

    data: Data
    network: Callable[[int], nn.Sequential]
    loss: nn.Module
    error: Callable[[Tensor, Tensor], Tensor]
    steps: int
    lr: float = 0.02
    batch: int | None = None


def tuned_errors(setting: Setting, name: str, strengths: Sequence[float] | Array, seed: int) -> Metrics:
    """Return test errors of a method of `METHODS`, for each seed at the strength with the smallest validation error.

    Of equally good strengths the largest is taken. ``seed`` determines the initial weights and the batches, which are
    the same for all strengths and methods. Metrics are lists with an entry for each seed of the data, except ``tried``,
    the number of strengths. ``at_edge`` says whether the chosen strength is the smallest or the largest.
    """
    with one_torch_thread():
        return as_lists(_tuned(setting, METHODS[name], sorted(strengths), seed)) | {"tried": len(strengths)}


def mean_squared_error_over_variance(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error (S,) divided by the variance of the targets; both arguments are (S, n, 1)."""
    return (outputs - targets).square().mean((1, 2)) / targets.var((1, 2))


def _tuned(setting: Setting, method: Method, strengths: Sequence[float], seed: int) -> list[dict[str, Any]]:
    data = setting.data.transformed(method.transform)
    best: dict[int, tuple[dict[str, Any], nn.Module]] = {}
    for strength in strengths:
        model = _train(setting, data, method, strength, seed)
        validation, error = (errors(setting, model, part) for part in (data.validation, data.test))
        for s in range(len(model)):
            if s not in best or validation[s] <= best[s][0]["validation"]:
                at_edge = strength in (strengths[0], strengths[-1])
                found = {"strength": strength, "at_edge": at_edge, "validation": validation[s], "error": error[s]}
                best[s] = found, model.replica(s)
    rows = []
    for s, (found, chosen) in best.items():
        loss, trace = _loss_and_trace(chosen, setting.loss, data.train[0][s], data.train[1][s])
        rows.append(found | {"loss": loss, "trace": trace})
    return rows


def _loss_and_trace(network: nn.Module, loss: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    with torch.no_grad():
        value = float(loss(network(x), y))
    if not math.isfinite(value):
        return math.inf, math.inf
    return value, hessian_trace(network, loss, (x, y), of="gauss_newton", max_products=PRODUCTS).value


def _train(setting: Setting, data: Data, method: Method, strength: float, seed: int) -> Replicas:
    """Return networks trained with one strength."""
    *_, model = training(setting, data, method, strength, seed)
    return model


def training(setting: Setting, data: Data, method: Method, strength: float, seed: int) -> Iterator[Replicas]:
    """Yield the networks, which are always the same object, at their start and after each step of training."""
    x, y = data.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Replicas([setting.network(x.shape[-1]) for _ in range(len(x))])
    run = method.start(model, setting.loss, setting.lr, strength)
    sizes = [group["lr"] for group in run.optimizer.param_groups]
    batches = _batches(x.shape[1], setting.batch, seed)
    yield model
    for step in range(setting.steps):
        for group, size in zip(run.optimizer.param_groups, sizes, strict=True):
            group["lr"] = size * (1 - step / setting.steps)
        index = next(batches)
        run.optimizer.zero_grad()
        run.objective(x[:, index], y[:, index].flatten(0, 1)).backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        yield model


def _batches(n: int, size: int | None, seed: int) -> Iterator[Any]:
    """Give the indices of the samples of one batch after another."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        if size is None:
            yield slice(None)
        else:
            order = torch.randperm(n, generator=generator)
            yield from torch.split(order[: n // size * size], size)


@torch.no_grad()
def errors(setting: Setting, model: Replicas, samples: Samples) -> list[float]:
    """Return the error of each network on its samples."""
    x, y = samples
    found: list[float] = setting.error(model(x).unflatten(0, x.shape[:2]), y).nan_to_num(torch.inf).tolist()
    return found
