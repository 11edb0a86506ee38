"""`Seeker`: the base class of flatness-seeking optimizers, which wrap another optimizer and replay recorded passes."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin.errors import InputError
from flatmin.nn.operators.state import is_sharded
from flatmin.nn.optimizers._tape import Tape
from flatmin.nn.optimizers._watcher import Watcher

__all__ = ["AGREEMENT", "Seeker", "distance", "norm"]

#: Factors that reduce the GradScaler's scale for replayed gradients; if the gradient overflows, the next one is tried.
SCALE_FACTORS = (1.0, 2.0**-4, 2.0**-8, 2.0**-16)
#: Largest relative distance of `.grad` from the gradient of the recorded passes at the first step; more is an error.
AGREEMENT = 0.01


def _of_base(name: str) -> Any:
    """Return a property that reads and sets an attribute of the wrapped optimizer."""
    doc = f"`{name}` of the wrapped optimizer."
    return property(lambda self: getattr(self.base, name), lambda self, new: setattr(self.base, name, new), doc=doc)


class Seeker(Optimizer):
    """A wrapper around a torch optimizer that replaces its gradient, or changes the weights, before each step.

    The training loop does not change::

        optimizer = nn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss)
        for x, y in data:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    Hooks on the model and on the loss record each pass that is differentiated, with its random state (so that dropout
    draws the same mask), its autocast state and its weight in the sum (gradient accumulation). `step` replays the
    recorded passes if the method needs them, and then takes a step of the wrapped optimizer. Weights, buffers, training
    modes, random states and, after an interrupt, gradients are restored bit by bit. State, parameter groups and
    defaults are those of the wrapped optimizer, so that schedulers and checkpoints work with it. `torch.amp.GradScaler`
    may call `step`; the step is skipped if a gradient at the weights or at the perturbed weights is infinite.

    Parameters
    ----------
    base : torch.optim.Optimizer
        The optimizer that takes the steps; if it needs a closure (`torch.optim.LBFGS`), it gets one.
    model : nn.Module
        The module that the loop calls; after `torch.compile`, the compiled one. Everything that is differentiated must
        go through ``loss(model(x), y)``; the first step verifies this by one replay.
    loss : nn.Module or callable
        Called with the output of the model. If it is a plain function, the loop must call the module
        ``optimizer.loss`` instead.

    Raises
    ------
    InputError
        If an argument has the wrong type; in `step`, if no pass was recorded, an input was overwritten, or `.grad` is
        not the gradient of the recorded passes.

    Notes
    -----
    If the method replays passes, a gradient that was clipped before `step` is refused, since it would be replaced by
    one that is not clipped. Clip in a hook of the wrapped optimizer instead, also under a GradScaler:
    ``base.register_step_pre_hook(clip)`` with a function ``clip(*_)`` that calls ``nn.utils.clip_grad_norm_`` and
    returns None. Under `torch.distributed.fsdp.fully_shard` `SAM`, `NoiseInjection` and `WeightDecay` take the steps of
    one process with the whole batch; methods that need single examples or losses are refused. Wrappers can be
    nested, as in ``SAM(WeightDecay(...), ...)``, if the one that replays passes is outermost; only `LabelNoise` may be
    around it.
    """

    #: Whether the method replaces the given gradient by replaying recorded passes.
    replays: ClassVar[bool] = False
    #: Whether the method changes neither gradient nor weights, so that it may wrap any other seeker.
    transparent: ClassVar[bool] = False
    #: Whether the method uses the examples of one process only, and so cannot train a DistributedDataParallel model.
    local: ClassVar[bool] = False
    #: Makes `GradScaler.step` pass its scale and whether a gradient is infinite, as attributes of this optimizer.
    _step_supports_amp_scaling = True

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any) -> None:
        name = type(self).__name__
        for what, value, kind in (("base", base, Optimizer), ("model", model, nn.Module)):
            if not isinstance(value, kind):
                expected = "an optimizer of torch" if kind is Optimizer else "a torch.nn.Module"
                raise InputError(f"{what} of {name} is a {type(value).__name__}, expected {expected}")
        if not callable(loss):
            raise InputError(f"loss of {name} is a {type(loss).__name__}, expected a module or a function")
        sharded = any(is_sharded(p) for p in model.parameters())
        if self.local and (sharded or isinstance(model, nn.parallel.DistributedDataParallel)):
            raise InputError(f"{name} uses the examples of one process, expected a model that is not distributed")
        self.base, self.model = base, model
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for p in self.parameters):
            raise InputError(f"the optimizer of {name} has no parameter of the model, expected one that trains it")
        if isinstance(base, Seeker) and base._record() is not None and not self.transparent:
            raise InputError(
                f"{name} is around {type(base).__name__}, whose gradient would replace its own, expected the other "
                "order or a plain optimizer"
            )
        self.loss = _as_module(loss, base)
        self._needs_closure = not isinstance(base, Seeker) and _needs_closure(base)
        self._checked = False
        self._scale: float | None = None  # the scale of a GradScaler in this step
        self._outer_scale: float | None = None  # the same, passed on by a wrapper around this one
        self.__setstate__({})

    param_groups = _of_base("param_groups")
    state = _of_base("state")
    defaults = _of_base("defaults")

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters that are trained, in the order of the groups."""
        return [p for group in self.base.param_groups for p in group["params"] if p.requires_grad]

    @property
    def gradient_evaluations(self) -> int:
        """Number of gradients of the batch that a step computes, including the plain gradient if it is used."""
        return getattr(self.base, "gradient_evaluations", 1)

    def seek(self) -> None:
        """Replace the gradient by the method's own, or change the weights; subclasses override this."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of the wrapped optimizer with the gradient of the method; return the result of a closure.

        A closure is called once, at the beginning, like the body of a training loop.
        """
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        try:
            if self._unscale():
                self._advance()
        except BaseException:
            # GradScaler.step deletes these only if no exception is raised, and would multiply them the next time.
            for name in ("grad_scale", "found_inf"):
                self.__dict__.pop(name, None)
            raise
        finally:
            self._outer_scale = None
            if self._tape is not None:
                self._tape.clear()
        return value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients and the recorded passes."""
        self.base.zero_grad(set_to_none)
        if self._tape is not None:
            self._tape.clear()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the wrapped optimizer."""
        self.base.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapped optimizer."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the wrapped optimizer."""
        self.base.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy; hooks of users and schedulers are not copied, as in torch."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "step" and not name.startswith("_opt") and not isinstance(value, Watcher)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, which watches the copied model and loss."""
        super().__setstate__(state)
        for event in ("state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post"):
            name = f"_optimizer_{event}_hooks"
            setattr(self, name, getattr(self.base, name))
        self._watch()

    def gradient(self, direction: Sequence[Tensor | None] = (), length: float = 1.0) -> list[Tensor | None]:
        """Return the gradient of the recorded passes at the weights plus ``length · direction``, for `parameters`."""
        with self._moved(direction, length):
            return self._differentiated()[0]

    def value(self, direction: Sequence[Tensor | None] = (), length: float = 1.0) -> float:
        """Return the loss of the recorded passes at the weights plus ``length · direction``."""
        assert self._tape is not None
        with self._moved(direction, length):
            return float(self._tape.value()) / (self._scale or 1.0)

    def assign(self, gradients: Sequence[Tensor | None]) -> None:
        """Set the gradients of `parameters`, in their order."""
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = None if gradient is None else gradient.to(p.dtype)

    def _watch(self) -> None:
        """Register the hooks on the model and the loss."""
        self._tape = Tape(self, self.model, self.loss) if self.replays or self._needs_closure else None

    def _differentiated(self) -> tuple[list[Tensor | None], float | Tensor]:
        """Return the gradient of the recorded passes at the present weights, and their loss."""
        assert self._tape is not None
        if self._scale is None:
            return self._tape.gradient(self.parameters)
        for factor in SCALE_FACTORS:
            gradients, value = self._tape.gradient(self.parameters, factor)
            if _finite(gradients):
                break
        return [None if g is None else g / (factor * self._scale) for g in gradients], value / self._scale

    @contextmanager
    def _moved(self, direction: Sequence[Tensor | None], length: float) -> Iterator[None]:
        """Move `parameters` inside the block, and restore them bit by bit afterwards."""
        pairs = zip(self.parameters, direction, strict=True) if direction else ()
        moving = [(p, v, p.detach().clone()) for p, v in pairs if v is not None]
        try:
            with torch.no_grad():
                for p, v, _ in moving:
                    p.add_(v, alpha=length)
            yield
        finally:
            with torch.no_grad():
                for p, _, saved in moving:
                    p.copy_(saved)

    def _unscale(self) -> bool:
        """Divide `.grad` by the scale of a GradScaler; return False if the GradScaler found an infinite gradient."""
        self._scale = self._outer_scale
        record = self._record()
        if record is not None and self._scale is None:
            record.check_gradients(self.parameters)
        if not hasattr(self, "found_inf"):
            return True
        if self.found_inf.item():
            return False
        scale: Tensor | None = getattr(self, "grad_scale", None)
        if scale is not None:
            self._scale = float(scale)
            for p in self.parameters:
                if p.grad is not None:
                    p.grad.div_(self._scale)
        elif record is not None:
            raise InputError(
                "scaler.unscale_() was called before scaler.step(), which hides the scale of the recorded passes, "
                "expected only scaler.step(); clip in a hook: base.register_step_pre_hook(...)"
            )
        return True

    def _record(self) -> Tape | None:
        """Return the recorded passes of this optimizer, or of the wrapper inside it."""
        return self.base._record() if self._tape is None and isinstance(self.base, Seeker) else self._tape

    def _advance(self) -> None:
        """Seek and take the step of the wrapped optimizer, unless the gradient overflowed under a GradScaler."""
        if self.replays and not self._checked:
            self._check_agreement()
        if self._needs_closure:
            self.base.step(self._closure)
            return
        self.seek()
        if self._scale is not None and not _finite([p.grad for p in self.parameters]):
            return
        if isinstance(self.base, Seeker):
            self.base._outer_scale = self._scale
        self.base.step()

    def _closure(self) -> float:
        """Set the gradient of the method at the present weights, and return the recorded loss."""
        gradients, value = self._differentiated()
        self.assign(gradients)
        self.seek()
        return float(value)

    def _check_agreement(self) -> None:
        """Raise `InputError` unless `.grad` is the gradient of the recorded passes."""
        off = distance([p.grad for p in self.parameters], self.gradient())
        self._checked = True
        if off > AGREEMENT:
            raise InputError(
                f".grad differs by {off:.1%} from the gradient of the recorded passes, expected only loss(model(x), y) "
                "to be differentiated"
            )


def distance(found: Sequence[Tensor | None], expected: Sequence[Tensor | None], size: float | None = None) -> float:
    """Return the distance of two lists of gradients, divided by ``size``, by default ``norm(expected)``; None is 0."""
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None or b is not None]
    apart = norm([b if a is None else a if b is None else a - b for a, b in pairs])  # type: ignore[misc]
    size = norm([b for b in expected if b is not None]) if size is None else size
    return apart / size if size else math.inf if apart else 0.0


def norm(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of all entries, computed in single precision at least, to avoid overflow."""
    norms = [torch.linalg.vector_norm(t.to_dense(), dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    return float(torch.linalg.vector_norm(torch.stack([n.double() for n in norms]))) if norms else 0.0


class _Function(nn.Module):
    """A plain function as a module, which can have hooks."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _as_module(loss: Any, base: Optimizer) -> nn.Module:
    """Return a loss as a module; a plain function shares the module of an inner wrapper with the same function."""
    if isinstance(loss, nn.Module):
        return loss
    inner = base.loss if isinstance(base, Seeker) else None
    return inner if isinstance(inner, _Function) and inner.function is loss else _Function(loss)


def _needs_closure(base: Optimizer) -> bool:
    """Return whether an optimizer cannot step without a closure."""
    closure = inspect.signature(base.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _finite(gradients: Sequence[Tensor | None]) -> bool:
    return all(bool(torch.isfinite(g.to_dense()).all()) for g in gradients if g is not None)
