"""A tape of the forward passes of a training step, which can be replayed at other weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from flatmin.errors import InputError
from flatmin.nn.operators.state import is_sharded
from flatmin.nn.optimizers._watcher import RUNNING, Watcher

__all__ = ["Call", "CallOutput", "Tape", "Term", "random_states", "set_random_states"]


@dataclass(frozen=True, eq=False)
class CallOutput:
    """The tensor with number ``index`` in the result of a recorded call; valid until the tensor is overwritten."""

    call: Call
    index: int
    version: int | None


class Call:
    """A recorded call of a module, with everything except the weights that determines its result.

    ``inputs`` are the leaves of the call's nested arguments: detached tensors, a `CallOutput` for the result of an
    earlier call, or other values. ``random`` holds the states of the random generators before the call.
    """

    def __init__(self, module: nn.Module, args: Any, kwargs: Any, outputs: Mapping[Tensor, CallOutput]) -> None:
        leaves, self._spec = tree_flatten((args, kwargs))
        self.module = module
        self.inputs = [_detached(x, outputs) if isinstance(x, Tensor) else x for x in leaves]
        self._versions = [_version(x) for x in self.inputs]
        modules = list(module.modules())
        self._modes = [(m, m.training) for m in modules]
        devices = {torch.device("cpu")} | {p.device for p in _parameters(modules)}
        self.random = random_states(devices)
        self._autocast = {
            d: (torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in {d.type for d in devices}
        }

    def arguments(self, inputs: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments of the call, with these leaves."""
        args, kwargs = tree_unflatten(list(inputs), self._spec)
        return args, kwargs

    @contextmanager
    def restored(self, *, random: bool = True) -> Iterator[None]:
        """Restore training modes, autocast and, if ``random``, the random states of the call inside the block."""
        _set_modes(self._modes)
        if random:
            set_random_states(self.random)
        with ExitStack() as stack:
            for device_type, (enabled, dtype) in self._autocast.items():
                if enabled or torch.is_autocast_enabled(device_type):
                    stack.enter_context(torch.autocast(device_type, dtype=dtype, enabled=enabled))
            yield

    def replay(self) -> Any:
        """Return the result of the call at the present weights, after a replay of the calls whose outputs it uses."""
        results = {x.call: tree_leaves(x.call.replay()) for x in self.inputs if isinstance(x, CallOutput)}
        inputs = [results[x.call][x.index] if isinstance(x, CallOutput) else x for x in self.inputs]
        args, kwargs = self.arguments(inputs)
        with self.restored():
            return self.module(*args, **kwargs)

    @property
    def uses_outputs(self) -> bool:
        """Whether an argument is the result of an earlier call."""
        return any(isinstance(x, CallOutput) for x in self.inputs)

    def modules(self) -> list[nn.Module]:
        """Return all modules of the call and of the calls whose outputs it uses."""
        calls = dict.fromkeys([self, *(x.call for x in self.inputs if isinstance(x, CallOutput))])
        return [m for call in calls for m, _ in call._modes]

    def check(self) -> None:
        """Raise `InputError` if an input has been overwritten since the call."""
        for x, version in zip(self.inputs, self._versions, strict=True):
            if isinstance(x, CallOutput):
                x.call.check()
            elif _version(x) != version:
                name = type(self.module).__name__
                raise InputError(f"an input of {name} was overwritten before step(), expected a new tensor each time")


@dataclass
class Term:
    """A recorded loss, and ``upstream``: its weight in the differentiated sum, times the scale of any GradScaler."""

    call: Call
    upstream: Tensor | None = None
    handle: RemovableHandle | None = None

    def weighted(self, value: Tensor) -> Tensor:
        """Return the sum of the entries of a loss ``value``, each multiplied by ``upstream``."""
        assert self.upstream is not None
        return torch.sum(value.double() * self.upstream)


class Tape(Watcher):
    """The calls ``loss(model(x), y)`` whose gradient reached the weights since the last step.

    A call is added when its gradient is accumulated in the `.grad` of a parameter. Passes that are not differentiated,
    or differentiated for another purpose (`torch.autograd.grad`, `flatmin.nn.hessian_trace`), are not added; their
    records are deleted together with the tensor that the loss returned. The hooks are removed with their ``owner``.
    """

    def __init__(self, owner: object, model: nn.Module, loss: nn.Module) -> None:
        super().__init__(owner, model, loss)
        self.model, self.loss = model, loss
        self.terms: list[Term] = []
        self._stamps: dict[int, tuple[int, int] | None] = {}
        self._checksum: Tensor | None = None
        self._outputs = WeakTensorKeyDictionary()
        self._started: dict[nn.Module, Call] = {}
        for module in (model, loss):
            self.hook(module.register_forward_pre_hook, self._before)
            self.hook(module.register_forward_hook, self._after)

    def clear(self) -> None:
        """Delete all records."""
        for term in self.terms:
            if term.handle is not None:
                term.handle.remove()
        self.terms.clear()
        self._stamps.clear()

    def check_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Raise `InputError` if the `.grad` of a parameter was changed after the last backward pass.

        Trainers that compute the norm of the gradient multiply it by one, which changes nothing.
        """
        for p in parameters:
            if self._stamps.get(id(p), _stamp(p)) != _stamp(p) and not self._has_its_values():
                raise InputError(
                    ".grad was changed between backward() and step(), for example by clipping, expected no change, "
                    "because step() replaces .grad; clip in a hook instead: base.register_step_pre_hook(...)"
                )

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Allow `Call.replay` inside the block; restore buffers, training modes and random states after it."""
        if not self.terms:
            raise InputError(
                "no pass was recorded since the last step, expected loss(model(x), y).backward() with the model and "
                "loss of the optimizer and no operation in between (if the loss is a function, call optimizer.loss)"
            )
        for term in self.terms:
            term.call.check()
        devices = sorted({p.device.index or 0 for p in _parameters(self._involved()) if p.device.type == "cuda"})
        token = RUNNING.set(True)
        try:
            with torch.random.fork_rng(devices), _buffers_restored(self._involved()):
                torch.clear_autocast_cache()
                yield
        finally:
            torch.clear_autocast_cache()
            RUNNING.reset(token)

    def value(self) -> Tensor:
        """Return the sum of all recorded losses at the present weights, each times its upstream gradient."""
        with self.replaying(), torch.no_grad():
            return torch.stack([term.weighted(term.call.replay()) for term in self.terms]).sum()

    def gradient(self, parameters: Sequence[Tensor], factor: float = 1.0) -> tuple[list[Tensor | None], Tensor]:
        """Return ``factor`` times the gradient of `value`, and `value` itself; no ``.grad`` is changed."""
        everything = dict.fromkeys([*parameters, *_parameters(self._involved())])
        before = [(p, p.grad) for p in everything]
        try:
            with self.replaying(), torch.enable_grad():
                for p in everything:
                    p.grad = None
                values = []
                for term in self.terms:
                    value = term.call.replay()
                    values.append(term.weighted(value.detach()))
                    assert term.upstream is not None
                    value.backward(factor * term.upstream)
            return [p.grad for p in parameters], torch.stack(values).sum()
        finally:
            for p, gradient in before:
                p.grad = gradient

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self.watches(module):
            if self.terms and self._was_zeroed():
                self.clear()
            self._started.pop(module, None)
            if torch.is_grad_enabled():
                self._started[module] = Call(module, args, kwargs, self._outputs)

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self._started.pop(module, None) if self.watches(module) else None
        if call is None:
            return
        if module is self.model:
            for index, leaf in enumerate(tree_leaves(output)):
                if isinstance(leaf, Tensor) and leaf.requires_grad:
                    self._outputs[leaf] = CallOutput(call, index, _version(leaf))
        elif isinstance(output, Tensor) and output.requires_grad and call.uses_outputs:
            term = Term(call)
            term.handle = output.register_hook(partial(self._on_gradient, term))  # type: ignore[no-untyped-call]

    def _on_gradient(self, term: Term, gradient: Tensor) -> None:
        if not _accumulates(_parameters(term.call.modules())):
            return
        if term.upstream is None:
            term.upstream = gradient.detach().clone()
            self.terms.append(term)
        else:
            term.upstream = term.upstream + gradient.detach()
        engine = torch.autograd.Variable._execution_engine
        # Run at the end of this backward pass, after the callbacks of DistributedDataParallel.
        engine.queue_callback(lambda: engine.queue_callback(self._on_backward_end))

    def _was_zeroed(self) -> bool:
        """Return whether gradients were cleared without this optimizer, for example by `nn.Module.zero_grad`."""
        parameters = list(_parameters(self._involved()))
        changed = any(self._stamps.get(id(p), _stamp(p)) != _stamp(p) for p in parameters)
        return changed and not any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    def _involved(self) -> list[nn.Module]:
        return list(dict.fromkeys(m for term in self.terms for m in term.call.modules()))

    def _on_backward_end(self) -> None:
        parameters = list(_parameters(self._involved()))
        self._stamps, self._checksum = {id(p): _stamp(p) for p in parameters}, _checksum(parameters)

    def _has_its_values(self) -> bool:
        """Return whether the gradients have the values of the end of the last backward pass."""
        present = _checksum(list(_parameters(self._involved())))
        return self._checksum is not None and present is not None and torch.equal(self._checksum, present)


def _parameters(modules: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    """Yield the parameters that modules hold themselves; `nn.Module.parameters` is slower than a small layer."""
    return (p for module in modules for p in module._parameters.values() if p is not None)


def _detached(tensor: Tensor, outputs: Mapping[Tensor, CallOutput]) -> Tensor | CallOutput:
    """Return the `CallOutput` of a tensor that a recorded call returned; detach any other tensor."""
    output = outputs.get(tensor)
    return tensor.detach() if output is None or output.version != _version(tensor) else output


def _stamp(parameter: Tensor) -> tuple[int, int] | None:
    """Return an identifier that changes when the gradient of a parameter is replaced or written to."""
    gradient = parameter.grad
    return None if gradient is None else (id(gradient), gradient._version)


def _checksum(parameters: Sequence[Tensor]) -> Tensor | None:
    """Return sums and norms that another gradient would change; None for shards and sparse gradients."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients or any(is_sharded(g) or g.layout != torch.strided for g in gradients):
        return None
    with torch.no_grad():
        return torch.stack([f(g).double() for g in gradients for f in (torch.sum, torch.linalg.vector_norm)])


def _version(x: Any) -> int | None:
    """Return the number of times that a tensor was written to; None where torch does not count."""
    return int(x._version) if isinstance(x, Tensor) and not x.is_inference() else None


def _accumulates(parameters: Iterable[Tensor]) -> bool:
    """Return whether the running backward pass accumulates in the `.grad` of one of these parameters."""
    for p in parameters:
        if is_sharded(p):  # its gradient comes by way of another tensor, which gathers the shards
            return True
        if p.requires_grad:
            try:
                node = torch.autograd.graph.get_gradient_edge(p).node
                if torch._C._will_engine_execute_node(node):
                    return True
            except (RuntimeError, AttributeError):  # torch.autograd.grad and torch.func do not accumulate
                return False
    return False


def random_states(devices: Iterable[torch.device]) -> dict[torch.device, Tensor]:
    """Return the states of the random generators of devices."""
    return {d: torch.cuda.get_rng_state(d) if d.type == "cuda" else torch.get_rng_state() for d in devices}


def set_random_states(states: Mapping[torch.device, Tensor]) -> None:
    """Set random generators to the states that `random_states` returned."""
    for device, state in states.items():
        torch.set_rng_state(state) if device.type == "cpu" else torch.cuda.set_rng_state(state, device)


def _set_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        if module.training != mode:  # setting an attribute of a module is slow
            module.training = mode


@contextmanager
def _buffers_restored(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Restore buffers (such as running statistics) and training modes after the block."""
    modes = [(m, m.training) for m in modules]
    buffers = [(m, name, b, b.detach().clone()) for m, _ in modes for name, b in m._buffers.items() if b is not None]
    try:
        yield
    finally:
        _set_modes(modes)
        with torch.no_grad():
            for module, name, buffer, copy in buffers:
                buffer.copy_(copy)
                setattr(module, name, buffer)
