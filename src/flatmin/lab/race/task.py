"""What is trained in a race, and how it is judged."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Batch", "Objective", "Sight", "Task", "digest", "sharpness"]

#: Inputs and targets of a model; inputs None stand for all of them, where a model knows its own.
Batch = tuple[Any, Tensor]
#: A function of inputs, targets and a number, whose gradient is taken.
Objective = Callable[[Any, Tensor, float], Tensor]

#: Power iterations for the largest eigenvalue, whose first digit is enough.
ITERATIONS = 30


@dataclass(frozen=True)
class Sight:
    """What the referee sees of a model at one moment.

    Attributes
    ----------
    loss : float
        The training loss, on all data.
    scaled_trace : float
        The trace whose minimisers are flat; for networks the Gauss-Newton trace.
    flatness_gap : float or None
        How far the trace is from the flattest possible; None where nobody knows that.
    relative_error : float or None
        The error on the truth or on fresh data.
    """

    loss: float
    scaled_trace: float
    flatness_gap: float | None
    relative_error: float | None


class Task(ABC):
    """What is trained and how it is judged: data, a model to start from, and the eyes of the referee.

    Competitors set their step sizes and strengths in the natural units of a task, so that one number serves all tasks.

    Attributes
    ----------
    loss : Module
        ``loss(outputs, targets)``, averaged over samples.
    inputs, targets : Tensor or None, Tensor
        The training data; inputs None where the model knows its own.
    sizes : dict of str to float
        How large the weights are that training begins with, in units of `length`: "small", "medium", "large", and
        "usual", where most competitors begin.
    budget : int
        How many gradients a run may spend where the user does not say.
    length : float
        The natural root mean square of a weight, at which outputs are as large as they should be.
    norm : float
        The norm of natural weights all together.
    height : float
        A typical loss: that of a model which answers nothing.
    fits : float
        The largest training loss of a run that has learnt its data.
    noise_unit : float
        The root mean square of the targets; for class numbers a share of wrong ones.
    has_batches : bool
        Whether the loss is a mean over samples.
    tunes_strength : bool
        Whether strengths are tuned beside step sizes, by the error on validation data; else they keep their defaults.
    good_enough : float
        The score with which a trial step size is not to be improved but may be larger; 0 where every bit counts.
    """

    loss: nn.Module
    inputs: Tensor | None
    targets: Tensor
    sizes: Mapping[str, float]
    budget: int
    length: float
    norm: float
    height: float
    fits: float
    noise_unit: float
    tunes_strength: bool = False
    good_enough: float = 0.0
    has_batches: bool = True

    @abstractmethod
    def model(self, seed: int, size: str | float = "usual") -> nn.Module:
        """Return a new model whose random weights have one of the sizes, or another one in their units."""

    @abstractmethod
    def penalised(self, model: nn.Module, loss: nn.Module, seed: int) -> Objective:
        """Return loss plus trace as a function of a batch and the strength of the trace."""

    @abstractmethod
    def look(self, model: nn.Module) -> Sight:
        """Return what the referee sees of the model; the model stays as it is."""

    @abstractmethod
    def shape_of(self, model: nn.Module) -> tuple[int | None, float | None]:
        """Return rank and balance of the model, None where they have no meaning."""

    @abstractmethod
    def trace(self, model: nn.Module) -> float:
        """Return the Gauss-Newton trace of the training loss over all weights alike, for the units of step sizes."""

    @abstractmethod
    def facts(self) -> Iterator[Any]:
        """Give everything that defines the task: arrays, tensors, numbers and words, for `digest`."""

    def tuning_score(self, model: nn.Module) -> float:
        """Return what step sizes are chosen by, the smaller the better: the training loss."""
        return self.look(model).loss

    @cached_property
    def digest(self) -> str:
        """A short name that changes with anything which defines the task."""
        return digest(type(self).__name__, *self.facts())

    def batches(self, size: int | None, seed: int) -> Iterator[Batch]:
        """Give batches for ever: all data each time, or shuffled ones of a size."""
        if size is None:
            while True:
                yield self.inputs, self.targets
        inputs = torch.arange(len(self.targets)) if self.inputs is None else self.inputs
        generator = torch.Generator().manual_seed(seed)
        size = min(size, len(self.targets))
        while True:
            order = torch.randperm(len(self.targets), generator=generator)
            for index in torch.split(order[: len(order) // size * size], size):
                yield inputs[index], self.targets[index]

    @cached_property
    def learns_from_one(self) -> bool:
        """Whether the model can be trained on one sample alone, unlike with batch normalization of vectors."""
        inputs, _ = next(self.batches(1, 0))
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self.model(0)(inputs)
        except (RuntimeError, ValueError):
            return False
        return True

    @cached_property
    def natural_trace(self) -> float:
        """The trace of natural weights, in units of `Sight.scaled_trace`."""
        return self.look(self.model(0, 1.0)).scaled_trace

    def curvature(self, size: str, batch: int | None) -> float:
        """Return how sharply the loss bends where training with a batch begins.

        On all data it is λ, the largest eigenvalue of the Hessian; with B samples ``λ + (trace − λ) / B``, as a step
        along the gradient of one sample is stable up to about 2 over its own squared Jacobian. Weights smaller than
        natural will grow: of them the natural size is measured.
        """
        sharpest, trace = self._curvatures(max(self.sizes[size], 1.0))
        return sharpest + (trace - sharpest) / batch if batch else sharpest

    def _curvatures(self, size: float) -> tuple[float, float]:
        known: dict[float, tuple[float, float]] = self.__dict__.setdefault("_known_curvatures", {})
        if size not in known:
            model = self.model(0, size)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # of dropout
                known[size] = sharpness(model, self.loss, self.inputs, self.targets), self.trace(model)
        return known[size]


def digest(*facts: Any) -> str:
    """Return a name for arrays, numbers and words that are the same on every machine."""
    hashed = hashlib.sha256()
    for fact in facts:
        array = fact.detach().cpu().numpy() if isinstance(fact, Tensor) else fact
        if isinstance(array, np.ndarray):
            hashed.update(f"{array.dtype}{array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).tobytes())
        else:
            hashed.update(repr(fact).encode())
        hashed.update(b"\n")
    return hashed.hexdigest()[:24]


def sharpness(model: nn.Module, loss: Callable[[Any, Any], Tensor], inputs: Any, targets: Tensor) -> float:
    """Return the largest eigenvalue of the Hessian of a loss by magnitude, by power iteration: its first digits.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> x = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> round(sharpness(model, nn.MSELoss(), x, torch.zeros(2, 1)), 3)  # (2/n) xᵀx = diag(9, 1)
    9.0
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(loss(model(inputs), targets), parameters, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    v = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    size = 0.0
    for _ in range(ITERATIONS):
        norm = float(torch.sqrt(sum((u**2).sum() for u in v)))  # type: ignore[arg-type]
        if norm == 0:
            return 0.0
        v = [u / norm for u in v]
        product = torch.autograd.grad(gradient, parameters, v, retain_graph=True, allow_unused=True)
        v = [torch.zeros_like(p) if u is None else u for u, p in zip(product, parameters, strict=True)]
        size = float(torch.sqrt(sum((u**2).sum() for u in v)))  # type: ignore[arg-type]
    return size
