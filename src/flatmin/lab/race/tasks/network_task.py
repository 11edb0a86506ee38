"""NetworkTask: train any network on any data and judge it by trace and test error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from flatmin.errors import InputError
from flatmin.lab.race.tasks.task import Batch, Objective, Observation, Task
from flatmin.nn.penalty import HessianTracePenalty

__all__ = ["NetworkTask"]

#: Estimators of the trace with their numbers of random vectors; the first one that the network allows is used. The
#: standard error of the first is 1 to 2 %, and that of the second 7 %.
TRACE_ESTIMATORS: tuple[tuple[Literal["per_example", "vjp"], int], ...] = (("per_example", 4), ("vjp", 16))


class NetworkTask(Task):
    """A network on data as a task. Step sizes and strengths are tuned by the error on validation data.

    The flattest value of a network is not known, so there is no flatness gap, and the trace itself is compared. The
    trace is estimated with the same random vectors every time.

    Parameters
    ----------
    network : callable
        Returns a new network, initialized by torch's random generator. With several ``jobs`` it is pickled.
    loss : Module
        ``loss(outputs, targets)``, a mean over samples with a Hessian square root: squared error, cross entropy, …
    training, validation, test : tuple of Tensor or ndarray
        Inputs and targets, one sample a row. `Observation.relative_error` is the error on the test data.
    error : callable, optional
        ``error(outputs, targets)``, a number. None for the share of wrong answers where targets are class numbers, and
        for ``‖outputs − targets‖ / ‖targets‖`` otherwise.
    budget : int
        Gradients that a run may spend by default.

    Raises
    ------
    InputError
        If data and network do not fit together, or data are empty or not finite.

    Examples
    --------
    >>> task = NetworkTask.digits("relu")
    >>> observation = task.observe(task.model(seed=0))
    >>> observation.flatness_gap is None, 0.8 < observation.relative_error < 1
    (True, True)
    """

    #: Sizes of the initial weights, in units of the network's own initialization.
    sizes = {"small": 0.1, "medium": 1.0, "large": 3.0, "usual": 1.0}  # noqa: RUF012
    tunes_strength = True

    def __init__(
        self,
        network: Callable[[], nn.Module],
        loss: nn.Module,
        training: tuple[Any, Any],
        validation: tuple[Any, Any],
        test: tuple[Any, Any],
        *,
        error: Callable[[Tensor, Tensor], Any] | None = None,
        budget: int = 1000,
    ) -> None:
        if isinstance(network, nn.Module) or not callable(network):
            kind = type(network).__name__
            raise InputError(f"network is a {kind}, expected a function that makes a new torch.nn.Module")
        if not isinstance(loss, nn.Module):
            raise InputError(f"loss is a {type(loss).__name__}, expected a torch.nn.Module, e.g. nn.CrossEntropyLoss()")
        if getattr(loss, "reduction", "mean") not in ("mean", "batchmean"):
            raise InputError(f"the loss has reduction={loss.reduction!r}, expected 'mean', the average over samples")
        self.network, self.loss, self.budget = network, loss, budget
        parameters = [p.detach() for p in self.model(0).parameters() if p.requires_grad]
        if not parameters:
            raise InputError("the network has no trainable parameters, expected at least one")
        self.dtype = parameters[0].dtype
        named = {"training": training, "validation": validation, "test": test}
        (self.inputs, self.targets), self.validation, self.test = (
            _checked(name, pair, self.dtype) for name, pair in named.items()
        )
        is_real = self.targets.is_floating_point()
        self.error = error or (_relative if is_real else _wrong)
        # Label noise of strength 1 makes a tenth of the class numbers wrong.
        self.label_scale = float(self.targets.square().mean().sqrt()) if is_real else 0.1
        self.weight_scale = float(torch.cat([p.flatten() for p in parameters]).square().mean().sqrt())
        self.weight_norm = self.weight_scale * sum(p.numel() for p in parameters) ** 0.5
        self.zero_loss = self.fit_loss = self._zero_loss()

    @classmethod
    def digits(
        cls, activation: str = "relu", *, width: int = 32, images: tuple[int, int] = (300, 300), seed: int = 0
    ) -> NetworkTask:
        """Return scikit-learn's digits for a network of one hidden layer of a width, trained by cross entropy.

        The activation is "relu" or "quadratic". ``images`` are the numbers of images for training and for validation;
        the others of the 1797 are for the test. ``seed`` draws the split.
        """
        from flatmin.lab.networks import Square, digits, one_hidden_layer, parts

        kinds: dict[str, nn.Module] = {"relu": nn.ReLU(), "quadratic": Square()}
        if activation not in kinds:
            raise InputError(f"activation is {activation!r}, expected one of {', '.join(kinds)}")
        network = partial(one_hidden_layer, 64, width, 10, kinds[activation])
        return cls(network, nn.CrossEntropyLoss(), *parts(*digits(), images, seed))

    def model(self, seed: int, size: str | float = "usual") -> nn.Module:
        """Return a new network whose weight matrices are multiplied by a factor."""
        factor = self.sizes[size] if isinstance(size, str) else size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.network()
        if not isinstance(model, nn.Module):
            raise InputError(f"network returns a {type(model).__name__}, expected a torch.nn.Module")
        with torch.no_grad():
            for p in model.parameters():
                if p.ndim > 1 and p.requires_grad:
                    p.mul_(factor)
        return model

    def penalised(self, model: nn.Module, loss: nn.Module, seed: int) -> Objective:
        """Return loss plus an unbiased estimate of the Gauss-Newton trace, which costs two more passes."""
        return HessianTracePenalty(model, loss, seed=seed).objective

    def observe(self, model: nn.Module) -> Observation:
        """Return training loss, Gauss-Newton trace and the error on the test data, in evaluation mode."""
        loss = self._judged(model, self.loss, (self.inputs, self.targets))
        if not np.isfinite(loss) or not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
            return Observation(np.inf, np.inf, None, np.inf)
        return Observation(loss, self.trace(model), None, self._judged(model, self.error, self.test))

    def rank_and_balance(self, model: nn.Module) -> tuple[int | None, float | None]:
        """Return None twice: a network has neither rank nor balance."""
        return None, None

    def trace(self, model: nn.Module) -> float:
        """Return an estimate of the Gauss-Newton trace."""
        for probe, count in TRACE_ESTIMATORS:
            penalty = HessianTracePenalty(model, self.loss, probe=probe, probes=count, seed=0)
            with suppress(InputError), _evaluating(model):
                return float(penalty(self.inputs, self.targets))
        raise InputError(f"the trace of {type(self.loss).__name__} has no estimate, expected a loss with a square root")

    def tuning_score(self, model: nn.Module) -> float:
        """Return the error on the validation data."""
        return self._judged(model, self.error, self.validation)

    def facts(self) -> Iterator[Any]:
        """Yield the data, the network and its initial weights, the loss and the error."""
        model = self.model(0)
        settings = {name: value for name, value in sorted(vars(self.loss).items()) if not name.startswith("_")}
        yield from (repr(model), repr(self.loss), settings, getattr(self.error, "__qualname__", repr(self.error)))
        yield from (*model.state_dict().values(), *self.loss.state_dict().values())
        for pair in ((self.inputs, self.targets), self.validation, self.test):
            yield from pair

    def _judged(self, model: nn.Module, judge: Callable[[Any, Any], Any], data: Batch) -> float:
        """Return a loss or an error on data, in evaluation mode."""
        with _evaluating(model):
            return float(judge(model(data[0]), data[1]))

    def _zero_loss(self) -> float:
        """Return the loss of the zero prediction, after a check that network, loss, error and data fit together."""
        try:
            with _evaluating(model := self.model(0)):
                outputs = model(self.inputs)
                if not isinstance(outputs, Tensor):
                    raise InputError(f"the network returns a {type(outputs).__name__}, expected one tensor")
                zero_loss = float(self.loss(torch.zeros_like(outputs), self.targets))
                for data in (self.validation, self.test):
                    float(self.error(model(data[0]), data[1]))
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise InputError(f"network, loss, error and data do not fit together: {error}") from error
        if not 0 < zero_loss < np.inf:
            raise InputError(f"the zero prediction has the loss {zero_loss}, expected a positive number")
        return zero_loss


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients inside the block, and restore the modes of its modules."""
    was = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in was:
            module.training = mode


def _checked(name: str, pair: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as tensors, real numbers in the dtype of the weights."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"the {name} data are a {type(pair).__name__}, expected a pair (inputs, targets)")
    try:
        x, y = (torch.as_tensor(part) for part in pair)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the {name} data are no tensors ({error}), expected arrays of numbers") from error
    x, y = (part.to(dtype) if part.is_floating_point() else part for part in (x, y))
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise InputError(f"the {name} data have shapes {tuple(x.shape)} and {tuple(y.shape)}, expected a row a sample")
    if not all(bool(torch.isfinite(part).all()) for part in (x, y)):
        raise InputError(f"the {name} data have numbers that are not finite, expected none")
    return x, y


def _wrong(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of samples whose largest output is not that of their class."""
    return torch.ne(outputs.argmax(1), targets).double().mean()


def _relative(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the relative distance of outputs from targets."""
    return torch.as_tensor((outputs - targets).norm() / targets.norm())
