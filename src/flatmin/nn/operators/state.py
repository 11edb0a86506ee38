"""A model as a function of its parameters, and what is put back after it has been evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from flatmin.errors import InputError

__all__ = ["MODES", "Weights", "fixed_randomness", "in_mode", "unwrapped"]

#: How batch norm and dropout act: as at test time, as in training, or as each submodule's own flag says.
MODES = ("eval", "train", "as_is")

T = TypeVar("T")


class Weights:
    """Some parameters of a model, as the argument of functions of them.

    The model itself is never written to: functions see copies of parameters and buffers in their place.

    Parameters
    ----------
    model : torch.nn.Module
        The model; of one wrapped by DataParallel, DistributedDataParallel or `torch.compile`, what is inside.
    parameters : iterable of str or Parameter, optional
        The parameters, by name or themselves; None: all that require a gradient. Tied parameters count once.

    Raises
    ------
    InputError
        If there are none, or if they are not real numbers of one type, float32 or float64, on one device.

    Examples
    --------
    >>> import torch
    >>> weights = Weights(torch.nn.Linear(3, 2))
    >>> weights.names, weights.numbers
    (['weight', 'bias'], [6, 2])
    """

    def __init__(self, model: nn.Module, parameters: Iterable[str | nn.Parameter] | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
        self.model = unwrapped(model)
        chosen = _chosen(self.model, parameters)
        self.names = list(chosen)
        self.tensors = list(chosen.values())
        for kind in ("dtype", "device"):
            found = sorted({str(getattr(p, kind)) for p in self.tensors})
            if len(found) > 1:
                raise InputError(f"the parameters are of {kind} {' and '.join(found)}, expected a single one")
        self.dtype, self.device = self.tensors[0].dtype, self.tensors[0].device
        if not self.dtype.is_floating_point:
            raise InputError(f"the parameters are of dtype {self.dtype}, expected real floating-point numbers")
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"the parameters are of dtype {self.dtype}, in which second derivatives keep too few digits, expected "
                "float32 or float64; measure copy.deepcopy(model).float()"
            )
        self.numbers = [p.numel() for p in self.tensors]
        self.size = sum(self.numbers)

    def evaluate(self, function: Callable[[nn.Module, list[Tensor]], T]) -> T:
        """Return ``function(model, parameters)`` for a model that uses new leaves with the present values.

        The whole function runs while the leaves are in place: what a model computes again in its backward pass
        (checkpoints) must find them too.
        """
        leaves = [p.detach().requires_grad_() for p in self.tensors]
        state = {f"model.{name}": b.clone() for name, b in self.model.named_buffers()}
        state |= {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}
        state |= {f"model.{name}": p for name, p in zip(self.names, leaves, strict=True)}
        out: T = functional_call(_Stage(self.model), state, (function, leaves))
        return out

    def vectors(self, block: Tensor) -> list[Tensor]:
        """Return the rows of a (k, n) block in the shapes of the parameters, k in front of each."""
        parts = torch.split(block, self.numbers, dim=1)
        return [part.reshape(len(block), *p.shape) for part, p in zip(parts, self.tensors, strict=True)]


class _Stage(nn.Module):
    """Runs a function of a model as if it were the model's forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, function: Callable[[nn.Module, list[Tensor]], T], leaves: list[Tensor]) -> T:
        return function(self.model, leaves)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside wrappers whose own backward passes cannot be differentiated."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def _chosen(model: nn.Module, parameters: Iterable[str | nn.Parameter] | None) -> dict[str, nn.Parameter]:
    every = dict(model.named_parameters())
    for name, p in every.items():
        if isinstance(p, nn.parameter.UninitializedParameter):
            raise InputError(f"the parameter {name} has no shape yet, expected a model that has seen a batch")
    if parameters is None:
        chosen = {name: p for name, p in every.items() if p.requires_grad}
    else:
        names = {id(p): name for name, p in every.items()}
        first = {name: names[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}
        chosen = {}
        for wanted in parameters:
            known = first.get(wanted) if isinstance(wanted, str) else names.get(id(wanted))
            if known is None:
                found = wanted if isinstance(wanted, str) else f"a {type(wanted).__name__}"
                raise InputError(f"parameters has {found}, expected parameters of the model or their names")
            chosen[known] = every[known]
    if not sum(p.numel() for p in chosen.values()):
        raise InputError("the model has no trainable parameters, expected at least one with requires_grad")
    return chosen


@contextmanager
def in_mode(model: nn.Module, mode: str) -> Iterator[None]:
    """Set training mode (``"train"``), evaluation mode (``"eval"``) or nothing (``"as_is"``), and put it back."""
    before = [(module, module.training) for module in model.modules()]
    if mode != "as_is" and any(training != (mode == "train") for _, training in before):
        try:
            model.train(mode == "train")
            yield
        finally:
            model.train(before[0][1])
            for module, training in before:
                module.training = training
    else:
        yield


@contextmanager
def fixed_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that a model on this device draws from, and put their states back."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
