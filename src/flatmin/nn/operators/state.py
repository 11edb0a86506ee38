"""A model as a function of its parameters, evaluated without changing the model or the random generators."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatmin.errors import InputError

__all__ = [
    "FAILURES",
    "MODES",
    "Inside",
    "ModelWeights",
    "check_values",
    "fixed_randomness",
    "in_mode",
    "is_sharded",
    "plain_attention",
    "unwrapped",
]

#: Possible behaviours of batch norm and dropout: as at test time, as in training, or by the flag of each submodule.
MODES = ("eval", "train", "as_is")
#: Exceptions that models, losses and PyTorch's transforms raise where they cannot evaluate an input. Others, such as
#: AssertionError or a user's own Exception, are never caught.
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)

T = TypeVar("T")


class ModelWeights:
    """Some parameters of a model, by default all that require a gradient, as the arguments of a function.

    The model, without wrappers such as `torch.compile`, is not changed: functions see new leaf tensors in place of its
    parameters, and copies of its buffers. Tied parameters count once. The parameters must all be float32 or all
    float64, on one device.
    """

    def __init__(self, model: nn.Module, parameters: Iterable[str | nn.Parameter] | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
        self.model = unwrapped(model)
        chosen = _chosen(self.model, parameters)
        self.names = list(chosen)
        self.tensors = list(chosen.values())
        check_values(self.tensors)
        if any(is_sharded(p) for p in self.tensors):
            raise InputError(
                "the parameters are shards of fully_shard, expected whole ones; measure a copy with the weights that "
                "torch.distributed.checkpoint.state_dict.get_model_state_dict gathers"
            )
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
        """Return ``function(model, leaves)``; for its whole duration the model uses new leaf tensors as its weights."""
        leaves = [p.detach().requires_grad_() for p in self.tensors]
        state = {f"model.{name}": b.clone() for name, b in self.model.named_buffers()}
        state |= {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}
        state |= {f"model.{name}": p for name, p in zip(self.names, leaves, strict=True)}
        out: T = functional_call(Inside(self.model), state, (function, leaves))
        return out

    def vectors(self, block: Tensor) -> list[Tensor]:
        """Return a (k, n) block as one tensor of shape (k, *shape) for each parameter."""
        parts = torch.split(block, self.numbers, dim=1)
        return [part.reshape(len(block), *p.shape) for part, p in zip(parts, self.tensors, strict=True)]


class Inside(nn.Module):
    """Runs a function of a model as a forward pass, so that `functional_call` can replace ``model.…`` parameters."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, model.training

    def forward(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(model, *arguments)``."""
        return function(self.model, *arguments)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside wrappers whose backward passes cannot be differentiated."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def check_values(parameters: Iterable[Tensor]) -> None:
    """Raise `InputError` if a parameter is on the device "meta"."""
    if any(p.is_meta for p in parameters):
        raise InputError(
            "the model is on the device 'meta' and has no numbers, expected weights; call model.to_empty(device=...), "
            "and load them"
        )


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a parameter is divided among processes, as `torch.distributed.fsdp.fully_shard` does."""
    return hasattr(tensor, "device_mesh")


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
    """Set training mode (``"train"``), evaluation mode (``"eval"``) or no mode (``"as_is"``), and restore it."""
    before = [(module, module.training) for module in model.modules()]
    if mode == "as_is" or all(training == (mode == "train") for _, training in before):
        yield
        return
    try:
        model.train(mode == "train")
        yield
    finally:
        model.train(before[0][1])
        for module, training in before:
            module.training = training


@contextmanager
def plain_attention() -> Iterator[None]:
    """Compute attention by elementary operations; fused ones have no second derivative and no forward mode."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def fixed_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that a model on a device uses, and restore their states afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
