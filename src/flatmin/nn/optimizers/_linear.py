"""Each example at weights of its own, without those weights, where all that is trained are linear layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatmin.nn.optimizers._tape import Tape, Term

__all__ = ["LinearMoves"]


@dataclass(frozen=True)
class _Move:
    """One use of a layer: a_i, unless the weight stays, whether the bias moves, δ_i, and c_i."""

    inputs: Tensor | None
    bias: bool
    derivative: Tensor
    length: Tensor

    def added(self, x: Tensor) -> Tensor:
        """Return what moving adds to the output, ``(⟨a_i, x_i⟩ + 1) c_i δ_i``."""
        factor = float(self.bias) if self.inputs is None else (self.inputs * x).sum(1, keepdim=True) + float(self.bias)
        return factor * self.length * self.derivative


class LinearMoves:
    """The moves ``w + ρ g_i/‖g_i‖`` of all examples i, for models whose trained parameters are in linear layers.

    With the input a_i and the derivative δ_i of the loss by the output of a layer, the gradient of example i is
    ``δ_i a_iᵀ``, its square ``|δ_i|² |a_i|²``, and at ``W + c_i δ_i a_iᵀ`` the layer gives ``W x + c_i ⟨a_i, x⟩ δ_i``.
    So one pass finds all moves, and one more all gradients at the moved weights.

    Parameters
    ----------
    model : nn.Module
        What is trained.
    parameters : sequence of Tensor
        Those that move.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[Tensor]) -> None:
        trained = {id(p) for p in parameters}
        self._layers = [m for m in model.modules() if any(id(p) in trained for p in m._parameters.values())]
        self._trained = trained
        self._moves: dict[nn.Module, list[_Move]] = {layer: [] for layer in self._layers}
        #: The sum of the lengths of all examples' gradients.
        self.size = 0.0

    @property
    def apply(self) -> bool:
        """Whether the trained parameters are those of linear layers, each in one."""
        held = [id(p) for layer in self._layers for p in layer._parameters.values() if p is not None]
        return all(type(layer) is nn.Linear for layer in self._layers) and len(held) == len(set(held))

    def find(self, tape: Tape, counts: Sequence[int], rho: float) -> bool:
        """Find the moves of recorded passes; return whether each layer was called once on the rows of all examples."""
        with tape.running(), torch.enable_grad():
            return all(self._found(term, count, rho) for term, count in zip(tape.terms, counts, strict=True))

    @contextmanager
    def made(self) -> Iterator[None]:
        """Within, what runs passes again sees each example at its own weights."""

        def moved(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            move = next(waiting[layer])
            return output + move.added(inputs[0]).to(output.dtype)

        waiting = {layer: iter(moves) for layer, moves in self._moves.items()}
        with self._hooked(moved):
            yield

    def _found(self, term: Term, count: int, rho: float) -> bool:
        uses: list[tuple[nn.Module, Tensor, Tensor]] = []
        with self._hooked(lambda layer, inputs, output: uses.append((layer, inputs[0].detach(), output))):
            value = term.call.again()
            once = len(uses) == len({layer for layer, *_ in uses}) == len(self._layers)
            if not once or any(a.ndim != 2 or len(a) != count or not z.requires_grad for _, a, z in uses):
                return False
            derivatives = torch.autograd.grad(value, [z for *_, z in uses], term.upstream, materialize_grads=True)
        if len(uses) != len(self._layers):  # called again to go back: a checkpoint
            return False
        parts, square = [], torch.zeros(())
        for (layer, a, _), d in zip(uses, derivatives, strict=True):
            kind = torch.promote_types(d.dtype, torch.float32)
            weight, bias = (id(layer._parameters[name]) in self._trained for name in ("weight", "bias"))
            inputs, derivative = a.to(kind) if weight else None, d.to(kind)
            parts.append((layer, inputs, bias, derivative))
            size = float(bias) if inputs is None else inputs.square().sum(1) + float(bias)
            square = square + derivative.square().sum(1).double() * size
        length = torch.where(square > 0, rho * square.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
        self.size += float(square.sqrt().sum())
        for layer, inputs, bias, derivative in parts:
            self._moves[layer].append(_Move(inputs, bias, derivative, length.to(derivative.dtype)[:, None]))
        return True

    def gradient(self) -> dict[int, Tensor]:
        """Return the sum of the examples' gradients by the identity of the parameter: that of the recorded passes."""
        found: dict[int, Tensor] = {}
        for layer, moves in self._moves.items():
            for move in moves:
                for name, there in (("weight", move.inputs), ("bias", torch.ones(()) if move.bias else None)):
                    if there is not None:
                        part = move.derivative.sum(0) if name == "bias" else move.derivative.T @ there
                        key = id(layer._parameters[name])
                        found[key] = found[key] + part if key in found else part
        return found

    @contextmanager
    def _hooked(self, hook: Callable[..., Any]) -> Iterator[None]:
        handles = [layer.register_forward_hook(hook) for layer in self._layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
