"""Squared gradients of the examples of a batch, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from flatmin.errors import InputError

__all__ = ["PerExample"]

#: Layers whose squares are tested. Under `vmap` the second derivative of layer normalization is wrong in PyTorch 2.13.
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class _Use:
    """One use of a layer: what went in and what came out."""

    layer: nn.Module
    before: Tensor
    after: Tensor


@dataclass
class PerExample:
    """The layers of a model during one forward pass, for ``Σ_i |J_iᵀ w_i|²``, J_i the Jacobian of example i.

    The gradient of example i with respect to a layer is made of the layer's input a_i and of the derivative δ_i of
    ``⟨w, outputs⟩`` with respect to its output, and one reverse pass has the δ_i of all examples. For a linear layer
    its square is ``|δ_i|² (|a_i|² + 1)``, so that no gradient is formed; a convolution is differentiated example by
    example. Needs examples that do not see each other, and layers that are called once.

    Parameters
    ----------
    model : nn.Module
        Its layers are the modules that hold trainable parameters themselves.
    """

    model: nn.Module
    uses: list[_Use] = field(default_factory=list)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the layers do inside the block."""
        self.uses.clear()
        layers = [m for m in self.model.modules() if _trainable(m)]
        for layer in layers:
            if type(layer) not in _LAYERS:
                known = ", ".join(kind.__name__ for kind in _LAYERS)
                raise InputError(f"the model trains a {type(layer).__name__}, expected {known}; use probe='vjp'")
        hooks = [layer.register_forward_hook(self._record) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        used = [use.layer for use in self.uses]
        for layer in layers:
            if used.count(layer) != 1:
                raise InputError(f"{layer} was called {used.count(layer)} times, expected once; use probe='vjp'")
        names = [id(p) for layer in layers for p in _trainable(layer).values()]
        if len(set(names)) < len(names):
            raise InputError("two layers share a parameter, expected parameters of their own; use probe='vjp'")

    def square(self, outputs: Tensor, w: Tensor, *, differentiable: bool) -> Tensor:
        """Return ``Σ_i |J_iᵀ w_i|²`` for the recorded pass, which ended in ``outputs``."""
        after = [use.after for use in self.uses]
        deltas = torch.autograd.grad(
            outputs, after, w, create_graph=differentiable, retain_graph=True, allow_unused=True
        )
        squares = []
        for use, delta in zip(self.uses, deltas, strict=True):
            if len({len(t) if t.ndim else 0 for t in (outputs, use.before, use.after)}) > 1:
                raise InputError(f"{use.layer} has other rows than the outputs, expected the examples; use probe='vjp'")
            if delta is not None:
                squares.append(_square(use, delta))
        return torch.stack(squares).sum()

    def _record(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.uses.append(_Use(layer, inputs[0], output))


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if its type is narrower."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _trainable(layer: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in layer.named_parameters(recurse=False) if p.requires_grad}


def _square(use: _Use, delta: Tensor) -> Tensor:
    """Return the sum over examples of the squared gradient of one layer."""
    parameters = _trainable(use.layer)
    if isinstance(use.layer, nn.Linear) and delta.ndim == 2:
        weight = widened(use.before).square().sum(1) if "weight" in parameters else 0
        return (widened(delta).square().sum(1) * (weight + ("bias" in parameters))).sum()

    def gradients(before: Tensor, delta: Tensor) -> dict[str, Tensor]:
        pullback = vjp(lambda p: functional_call(use.layer, p, (before[None],)), parameters)[1]
        out: dict[str, Tensor] = pullback(delta[None])[0]
        return out

    each: dict[str, Tensor] = vmap(gradients)(use.before, delta)
    return torch.stack([g.square().sum() for g in each.values()]).sum()
