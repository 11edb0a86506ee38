"""Task: the data, the model and the judge of a race."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import on_host

__all__ = ["POWER_ITERATIONS", "Batch", "Objective", "Observation", "Task", "digest", "sharpness"]

#: Inputs and targets of a model. The inputs are None if the model contains them, as a factored model does.
Batch = tuple[Any, Tensor]
#: A function of inputs, targets and a number, to be minimised by gradients.
Objective = Callable[[Any, Tensor, float], Tensor]

#: Number of power iterations for a largest eigenvalue; one digit is enough, because it only sets the unit of steps.
POWER_ITERATIONS = 30


@dataclass(frozen=True)
class Observation:
    """The measurements of a model at one moment of a run."""

    #: The training loss on all data.
    loss: float
    #: The trace whose minimisers are called flat. For networks it is the Gauss-Newton trace.
    scaled_trace: float
    #: The excess of the trace over the flattest value, relative to that value, or None if that value is not known.
    flatness_gap: float | None
    #: The error on the truth or on test data, or None if neither is known.
    relative_error: float | None


class Task(ABC):
    """The data, the initial models and the measurements that a race needs.

    Competitors state step sizes and strengths in the natural units of a task, so that one number serves all tasks.
    """

    #: ``loss(outputs, targets)``, averaged over samples.
    loss: nn.Module
    #: The inputs of the training data, or None if the model has its own.
    inputs: Tensor | None
    #: The targets of the training data.
    targets: Tensor
    #: Sizes of the initial weights in units of `weight_scale`: "small", "medium", "large", and "usual", the default.
    sizes: Mapping[str, float]
    #: Gradients that a run may spend by default.
    budget: int
    #: The root mean square of "natural" weights: those at which the outputs have the size of the targets.
    weight_scale: float
    #: The Euclidean norm of all natural weights.
    weight_norm: float
    #: The loss of the zero prediction, used as the unit of losses.
    zero_loss: float
    #: The largest training loss of a run that fits the data.
    fit_loss: float
    #: The unit of label noise: the root mean square of the targets, or for class numbers a share of the labels.
    label_scale: float
    #: Whether strengths are tuned together with step sizes. Otherwise they keep their defaults.
    tunes_strength: bool = False
    #: Among tuning scores below this one, the largest step size wins; 0 if always the smallest score wins.
    good_score: float = 0.0
    #: Whether the loss is a mean over samples.
    has_batches: bool = True

    @abstractmethod
    def model(self, seed: int, size: str | float = "usual") -> nn.Module:
        """Return a new model with random weights of a named size, or of any size in units of `weight_scale`."""

    @abstractmethod
    def penalised(self, model: nn.Module, loss: nn.Module, seed: int) -> Objective:
        """Return loss + strength · trace as a function of inputs, targets and strength."""

    @abstractmethod
    def observe(self, model: nn.Module) -> Observation:
        """Return loss, trace, gap and error of a model, which is not changed."""

    @abstractmethod
    def rank_and_balance(self, model: nn.Module) -> tuple[int | None, float | None]:
        """Return rank and balance of the model, None where they have no meaning."""

    @abstractmethod
    def trace(self, model: nn.Module) -> float:
        """Return the Gauss-Newton trace of the training loss over all weights, which sets the unit of step sizes."""

    @abstractmethod
    def facts(self) -> Iterator[Any]:
        """Yield all arrays, tensors, numbers and words that define the task, for `digest`."""

    def loss_of(self, model: nn.Module) -> Tensor:
        """Return the training loss of a model on all data."""
        value: Tensor = self.loss(model(self.inputs), self.targets)
        return value

    def tuning_score(self, model: nn.Module) -> float:
        """Return the number by which step sizes are chosen, smaller is better. By default it is the training loss."""
        return self.observe(model).loss

    @cached_property
    def digest(self) -> str:
        """A short name that changes whenever the task does."""
        return digest(type(self).__name__, *self.facts())

    def batches(self, size: int | None, seed: int) -> Iterator[Batch]:
        """Yield batches for ever: all data each time, or shuffled batches of ``size`` samples."""
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
        """Whether the model accepts a batch of one sample. Batch normalization of vectors does not."""
        inputs, _ = next(self.batches(1, 0))
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self.model(0)(inputs)
        except (RuntimeError, ValueError):
            return False
        return True

    @cached_property
    def natural_trace(self) -> float:
        """The trace at natural weights, in units of `Observation.scaled_trace`."""
        return self.observe(self.model(0, 1.0)).scaled_trace

    @cached_property
    def reach(self) -> float:
        """The distance in weights at which a loss with the curvature of natural weights is that of the prediction 0."""
        sharpest, _ = self._curvatures(1.0)
        return float((2 * self.zero_loss / sharpest) ** 0.5) if sharpest > 0 else self.weight_norm

    def curvature(self, size: str, batch: int | None) -> float:
        """Return the curvature of the loss at the initial weights that limits the step size, for a batch size.

        For all data it is λ, the largest eigenvalue of the Hessian. For B samples the curvature is
        ``λ + (trace − λ) / B``, since a step along the gradient of one sample is stable up to about 2 / ‖its
        Jacobian‖². Initial weights below the natural size will grow, so the curvature is taken at the natural size.
        """
        sharpest, trace = self._curvatures(max(self.sizes[size], 1.0))
        return sharpest + (trace - sharpest) / batch if batch else sharpest

    def _curvatures(self, size: float) -> tuple[float, float]:
        """Return λ and the trace at weights of this size; each size is computed once."""
        known: dict[float, tuple[float, float]] = self.__dict__.setdefault("_known_curvatures", {})
        if size not in known:
            model = self.model(0, size)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # dropout draws from torch's generator
                known[size] = sharpness(model, self.loss, self.inputs, self.targets), self.trace(model)
        return known[size]


def digest(*facts: Any) -> str:
    """Return a name for arrays, numbers and words that is the same on every machine."""
    hashed = hashlib.sha256()
    for fact in facts:
        array = on_host(fact)
        if isinstance(array, np.ndarray):
            hashed.update(f"{array.dtype}{array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).tobytes())
        else:
            hashed.update(repr(fact).encode())
        hashed.update(b"\n")
    return hashed.hexdigest()[:24]


def sharpness(model: nn.Module, loss: Callable[[Any, Any], Tensor], inputs: Any, targets: Tensor) -> float:
    """Return the largest absolute eigenvalue of the Hessian of a loss to a digit or two, by power iteration."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(loss(model(inputs), targets), parameters, create_graph=True)
    generator = torch.Generator().manual_seed(0)
    v = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    size = 0.0
    for _ in range(POWER_ITERATIONS):
        norm = float(torch.sqrt(sum((u**2).sum() for u in v)))  # type: ignore[arg-type]
        if norm == 0:
            return 0.0
        v = [u / norm for u in v]
        product = torch.autograd.grad(gradient, parameters, v, retain_graph=True, allow_unused=True)
        v = [torch.zeros_like(p) if u is None else u for u, p in zip(product, parameters, strict=True)]
        size = float(torch.sqrt(sum((u**2).sum() for u in v)))  # type: ignore[arg-type]
    return size
