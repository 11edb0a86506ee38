"""What a training algorithm is to a race."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.errors import InputError
from flatmin.lab.race.result import Description
from flatmin.lab.race.task import Objective, Task

__all__ = ["Competitor", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One start of a competitor.

    Attributes
    ----------
    task : Task
        What is trained.
    seed : int
        Draws the weights, the batches and whatever else is random.
    step_size : float
        In the units of the weights and the loss.
    strength : float or None
        In the scale-free units of the competitor.
    """

    task: Task
    seed: int
    step_size: float
    strength: float | None


class Competitor:
    """Gradient descent on the loss of a task; others change what is different.

    A new competitor is one file in ``competitors/`` with a subclass in its ``__all__``, or an object passed to `race`.
    Most override `optimizer` alone, with one of the wrappers of `flatmin.nn.optimizers`, or `objective` alone. Nothing
    here measures: gradients are counted and models judged by the referee, whatever a class says of itself.

    Parameters
    ----------
    settings
        New values for the attributes below, under another name.

    Attributes
    ----------
    name, title, claims, source : str
        As in `Description`.
    size : str
        How large the weights are that it starts from, one of `Task.sizes`.
    batch : int or None
        Samples a step; None for all of them.
    steps : tuple of float
        The smallest and the largest step size that are tried, in units of `unit`.
    strength : float or None
        The default of its own setting, in scale-free units that its docstring names; None where it has none.
    decays : bool
        Whether the step size falls linearly to zero over the budget, as constant steps of a fixed length never settle.

    Examples
    --------
    >>> from flatmin.lab.race import competitors
    >>> weak = competitors.LabelNoise(name="weak-noise", strength=0.01)
    >>> weak.strength
    0.01
    """

    name: str
    title: str
    claims: str
    source: str
    size: str = "usual"
    batch: int | None = None
    steps: tuple[float, float] = (1 / 16, 2.0)
    strength: float | None = None
    decays: bool = False

    #: What a user may set.
    SETTINGS: ClassVar[tuple[str, ...]] = (
        "name",
        "title",
        "claims",
        "source",
        "size",
        "batch",
        "steps",
        "strength",
        "decays",
    )

    def __init__(self, **settings: Any) -> None:
        for key, value in settings.items():
            if key not in self.SETTINGS:
                raise InputError(f"{key!r} is no setting of a competitor, expected one of {', '.join(self.SETTINGS)}")
            setattr(self, key, value)
        whole = isinstance(self.batch, int) and not isinstance(self.batch, bool)
        if self.batch is not None and not (whole and self.batch >= 1):
            raise InputError(f"batch is {self.batch!r}, expected a positive number of samples, or None for all")

    @property
    def description(self) -> Description:
        """What it says of itself."""
        return Description(self.name, self.title, self.claims, self.source)

    @property
    def facts(self) -> tuple[Any, ...]:
        """Everything that defines it, for the store: its code, its settings and whatever else it was given."""
        code = [_source(kind) for kind in type(self).__mro__ if issubclass(kind, Competitor) and kind is not Competitor]
        others = sorted((key, value) for key, value in vars(self).items() if key not in self.SETTINGS)
        settings = [getattr(self, key) for key in self.SETTINGS]
        return (type(self).__module__, type(self).__qualname__, *settings, *code, *others)

    def objection(self, task: Task) -> str | None:
        """Return why it cannot run on a task, or None if it can."""
        if self.batch is not None and not task.has_batches:
            return "the loss is not a mean over samples, so there are no batches"
        if self.batch == 1 and not task.learns_from_one:
            return "the network cannot be trained on one sample alone, for instance by its batch normalization"
        return None

    def unit(self, task: Task) -> float:
        """Return the unit of its step sizes: one over the curvature where it begins, as its batches see it."""
        return 1 / task.curvature(self.size, self.batch)

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return what turns gradients into steps; model and loss are those of the training loop."""
        return torch.optim.SGD(model.parameters(), lr=entry.step_size)

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return the function of inputs, targets and the share of the budget that is spent, whose gradient is taken."""
        return lambda x, y, spent: loss(model(x), y)

    def start(self, entry: Entry) -> tuple[nn.Module, Callable[[float], None]]:
        """Return a new model, and a function that makes one step; it is told which share of the budget is spent."""
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

    def trials(self, task: Task, count: int) -> list[tuple[float, float | None]]:
        """Return the pairs of step size and strength that are tried: always as many, over the same step sizes.

        Step sizes are equally spaced in logarithms. Where a task tunes strengths they run from a hundredth to ten times
        the default, each once, in an order that has little to do with that of the step sizes.
        """
        if not 0 < self.steps[0] <= self.steps[1]:
            raise InputError(f"the steps of {self.name} are {self.steps}, expected two positive numbers, ascending")
        low, high = np.log(self.steps)
        sizes = self.unit(task) * np.exp(np.linspace(low, high, count))
        if self.strength is None or not task.tunes_strength:
            return [(float(size), self.strength) for size in sizes]
        stride = _coprime(count)
        factors = np.logspace(-2, 1, count)[np.arange(count) * stride % count]
        return [(float(size), float(self.strength * factor)) for size, factor in zip(sizes, factors, strict=True)]


def _source(kind: type) -> str:
    """Return the text of a class, empty where it was typed and not read from a file."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def _coprime(count: int) -> int:
    """Return the number nearest to the golden section of ``count`` that visits all residues."""
    candidates = [k for k in range(1, count + 1) if np.gcd(k, count) == 1]
    return min(candidates, key=lambda k: abs(k - 0.618 * count))
