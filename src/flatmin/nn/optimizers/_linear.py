"""Gradients of each example at its own perturbed weights, for models whose trained layers are all linear."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatmin.nn.optimizers._tape import Tape, Term

__all__ = ["LinearPerturbations"]


@dataclass(frozen=True)
class _Perturbation:
    """The rank-one perturbations ``c_i δ_i a_iᵀ`` of one layer's weights, with a_i = 0 if the weights are fixed."""

    inputs: Tensor
    bias: bool
    derivative: Tensor
    length: Tensor

    def added(self, x: Tensor) -> Tensor:
        """Return the change of the layer's output for inputs x_i, ``(⟨a_i, x_i⟩ + 1) c_i δ_i``."""
        return ((self.inputs * x).sum(1, keepdim=True) + float(self.bias)) * self.length * self.derivative


class LinearPerturbations:
    """The weights ``w + ρ g_i/‖g_i‖`` of all examples i, for models whose trained parameters are in linear layers.

    With the input a_i of a layer and the derivative δ_i of the loss in its output, the gradient of example i is
    ``δ_i a_iᵀ`` with the squared norm ``|δ_i|² |a_i|²``. At the weights ``W + c_i δ_i a_iᵀ`` the layer returns
    ``W x + c_i ⟨a_i, x⟩ δ_i``. So one pass finds all perturbations, and a second one all gradients at those weights.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[Tensor]) -> None:
        self._trained = {id(p) for p in parameters}
        self._layers = [m for m in model.modules() if any(id(p) in self._trained for p in m._parameters.values())]
        self._perturbations: dict[nn.Module, list[_Perturbation]] = {layer: [] for layer in self._layers}
        #: Sum of the norms of the gradients of all examples.
        self.size = 0.0

    @property
    def apply(self) -> bool:
        """Whether every trained parameter belongs to exactly one linear layer."""
        held = [id(p) for layer in self._layers for p in layer._parameters.values() if p is not None]
        return all(type(layer) is nn.Linear for layer in self._layers) and len(held) == len(set(held))

    def find(self, tape: Tape, counts: Sequence[int], rho: float) -> bool:
        """Find the perturbations of recorded passes; return False unless each layer was called once on all examples."""
        with tape.replaying(), torch.enable_grad():
            return all(self._found(term, count, rho) for term, count in zip(tape.terms, counts, strict=True))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Evaluate each example at its own weights inside the block."""

        def perturbed(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            return output + next(waiting[layer]).added(inputs[0]).to(output.dtype)

        waiting = {layer: iter(found) for layer, found in self._perturbations.items()}
        with self._hooked(perturbed):
            yield

    def _found(self, term: Term, count: int, rho: float) -> bool:
        uses: list[tuple[nn.Module, Tensor, Tensor]] = []
        with self._hooked(lambda layer, inputs, output: uses.append((layer, inputs[0].detach(), output))):
            value = term.call.replay()
            once = len(uses) == len({layer for layer, *_ in uses}) == len(self._layers)
            if not once or any(a.ndim != 2 or len(a) != count or not z.requires_grad for _, a, z in uses):
                return False
            derivatives = torch.autograd.grad(value, [z for *_, z in uses], term.upstream, materialize_grads=True)
        if len(uses) != len(self._layers):  # a checkpoint called them again in the backward pass
            return False
        parts, square = [], torch.zeros(())
        for (layer, a, _), d in zip(uses, derivatives, strict=True):
            kind = torch.promote_types(d.dtype, torch.float32)
            weight, bias = (id(layer._parameters[name]) in self._trained for name in ("weight", "bias"))
            inputs, derivative = a.to(kind) if weight else torch.zeros_like(a, dtype=kind), d.to(kind)
            parts.append((layer, inputs, bias, derivative))
            square = square + derivative.square().sum(1).double() * (inputs.square().sum(1) + float(bias))
        length = torch.where(square > 0, rho * square.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
        self.size += float(square.sqrt().sum())
        for layer, inputs, bias, derivative in parts:
            found = _Perturbation(inputs, bias, derivative, length.to(derivative.dtype)[:, None])
            self._perturbations[layer].append(found)
        return True

    def gradient(self) -> dict[int, Tensor]:
        """Return the sum of all gradients at the unperturbed weights, keyed by the ``id`` of the parameter."""
        found: dict[int, Tensor] = {}
        for layer, perturbations in self._perturbations.items():
            for one in perturbations:
                for name, part in (("weight", one.derivative.T @ one.inputs), ("bias", one.derivative.sum(0))):
                    key = id(layer._parameters[name])
                    if key in self._trained:
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
