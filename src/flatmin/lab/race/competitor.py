"""Competitor: a training algorithm in a race."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from flatmin._core.validation import whole_number
from flatmin.errors import InputError
from flatmin.lab.race.result import Description
from flatmin.lab.race.tasks import Objective, Task

__all__ = ["Competitor", "Entry"]

#: For this pair (a, b), strengths are tuned from 10^a to 10^b times the default strength of the competitor.
STRENGTH_POWERS = (-2, 1)


@dataclass(frozen=True)
class Entry:
    """One run of a competitor on a task.

    ``seed`` determines the initial weights, the batches and all other randomness. ``step_size`` is in the units of the
    weights and the loss, and ``strength`` in the scale-free units that the competitor states.
    """

    task: Task
    seed: int
    step_size: float
    strength: float | None


@dataclass(frozen=True, kw_only=True)
class Competitor(Description):
    """Gradient descent on the loss of a task. Subclasses override the part that differs.

    Most subclasses override only `optimizer`, with a wrapper of `flatmin.nn.optimizers`, or only `objective`. A
    competitor measures nothing: the referee counts gradients and evaluates models.

    Examples
    --------
    >>> from flatmin.lab.race import competitors
    >>> weak = competitors.find("label-noise").variant(name="weak-noise", strength=0.01)
    >>> weak.strength
    0.01
    """

    #: The size of the initial weights, one of `Task.sizes`.
    size: str = "usual"
    #: Number of samples in a batch; None for all samples.
    batch: int | None = None
    #: The smallest and the largest step size to be tried, in units of the method `unit`.
    steps: tuple[float, float] = (1 / 16, 2.0)
    #: The default strength in scale-free units that the docstring of the method names, or None.
    strength: float | None = None
    #: Whether the step size decreases linearly to zero over the budget, which steps of a fixed length need to converge.
    decays: bool = False

    def __post_init__(self) -> None:
        for field in fields(Description):
            value = getattr(self, field.name)
            if not isinstance(value, str) or not value:
                who = type(self).__name__
                raise InputError(f"the {field.name} of the competitor {who} is {value!r}, expected words")
        if not 0 < self.steps[0] <= self.steps[1]:
            raise InputError(f"the steps of {self.name} are {self.steps}, expected two positive numbers, ascending")
        if self.batch is not None:
            whole_number(self.batch, "batch", 1)

    def variant(self, **settings: Any) -> Self:
        """Return the same algorithm with other settings; an unknown setting raises `InputError`."""
        known = [field.name for field in fields(self)]
        for key in settings:
            if key not in known:
                raise InputError(f"{key!r} is no setting of {self.name}, expected one of {', '.join(known)}")
        return replace(self, **settings)

    @property
    def description(self) -> Description:
        """The four texts that describe the algorithm."""
        return Description(self.name, self.title, self.claims, self.source)

    @property
    def facts(self) -> tuple[Any, ...]:
        """The code and the settings of the algorithm, by which the store recognizes its former runs."""
        code = [_source(kind) for kind in type(self).__mro__ if issubclass(kind, Competitor) and kind is not Competitor]
        settings = [getattr(self, field.name) for field in fields(self)]
        return (type(self).__module__, type(self).__qualname__, *settings, *code)

    def objection(self, task: Task) -> str | None:
        """Return the reason why the algorithm cannot run on a task, or None if it can."""
        if self.batch is not None and not task.has_batches:
            return "the loss is not a mean over samples, so there are no batches"
        if self.batch == 1 and not task.learns_from_one:
            return "the network cannot be trained on one sample alone, for instance by its batch normalization"
        return None

    def unit(self, task: Task) -> float:
        """Return the unit of step sizes: 1 / (curvature of the batch losses at the initial weights)."""
        return 1 / task.curvature(self.size, self.batch)

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return the optimizer that turns gradients into steps. Model and loss are those of the training loop."""
        return torch.optim.SGD(model.parameters(), lr=entry.step_size)

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return the function to minimise; its arguments are inputs, targets and the spent share of the budget."""
        return lambda x, y, spent: loss(model(x), y)

    def start(self, entry: Entry) -> tuple[nn.Module, Callable[[float], None]]:
        """Return a new model, and a function that makes one step; its argument is the spent share of the budget."""
        model, loss = entry.task.model(entry.seed, self.size), copy.deepcopy(entry.task.loss)
        optimizer, objective = self.optimizer(model, loss, entry), self.objective(model, loss, entry)
        batches = entry.task.batches(self.batch, entry.seed)

        def step(spent: float) -> None:
            if self.decays:
                for group in optimizer.param_groups:
                    group["lr"] = entry.step_size * (1 - spent)
            x, y = next(batches)
            optimizer.zero_grad()
            objective(x, y, spent).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return model, step

    def tuning_grid(self, task: Task, count: int) -> list[tuple[float, float | None]]:
        """Return the ``count`` pairs of step size and strength that are tried.

        Step sizes are equally spaced in logarithms. If the task tunes strengths, they run from a hundredth to ten times
        the default, in an order that is nearly uncorrelated with that of the step sizes.
        """
        low, high = np.log(self.steps)
        sizes = self.unit(task) * np.exp(np.linspace(low, high, count))
        if self.strength is None or not task.tunes_strength:
            return [(float(size), self.strength) for size in sizes]
        factors = np.logspace(*STRENGTH_POWERS, count)[np.arange(count) * _stride(count) % count]
        return [(float(size), float(self.strength * factor)) for size, factor in zip(sizes, factors, strict=True)]


def _source(kind: type) -> str:
    """Return the text of a class, empty if it was typed at a prompt."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def _stride(count: int) -> int:
    """Return the step through ``count`` places that visits all of them and is nearest to their golden section."""
    candidates = [k for k in range(1, count + 1) if np.gcd(k, count) == 1]
    return min(candidates, key=lambda k: abs(k - 0.618 * count))
