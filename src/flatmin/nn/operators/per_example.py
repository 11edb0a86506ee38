"""Squared norms of the gradients of single examples, for a whole batch at once."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.conv import _ConvNd

__all__ = ["PerExample", "convolution_square", "widened"]

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (nn.Linear, *_CONVOLUTIONS, nn.LayerNorm, nn.GroupNorm)


#: Number types that are converted to float32 before gradients are squared, because squares underflow in them.
_NARROW = (torch.float16, torch.bfloat16)
#: Number of random combinations of output channels that estimate the squared gradient of a convolution.
_COMBINATIONS = 4
#: Draws random signs with the shape, dtype and device of a tensor.
Signs = Callable[[Tensor], Tensor]


class _Use(NamedTuple):
    """One call of a layer: its input and its output."""

    layer: nn.Module
    before: Tensor
    after: Tensor
    edge: GradientEdge | None  # of the output, which itself may be overwritten later
    below: GradientEdge | None  # of the input; None if it depends on no parameter


class PerExample:
    """The record of one forward pass that gives ``Σ_i |J_iᵀ w_i|²``, where J_i is the Jacobian of example i.

    The gradient of example i in the weights of a layer depends on the layer's input a_i and on the derivative δ_i of
    ``⟨w, outputs⟩`` in its output; one reverse pass gives the δ_i of all examples. For a linear layer the squared norm
    is ``|δ_i|² (|a_i|² + 1)``, without forming the gradient. For a convolution the gradient is formed. If the
    convolution is ungrouped and has more than 4 output channels, 4 random combinations of the channels replace them,
    drawn for each example, which gives an unbiased estimate.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.uses: list[_Use] = []

    @property
    def convolve(self) -> bool:
        """Whether a trained layer is a convolution; its squared gradients by example cost more than a reverse pass."""
        return any(isinstance(layer, _CONVOLUTIONS) for layer in self._layers())

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the calls of the layers inside the block."""
        self.uses.clear()
        known = [layer for layer in self._layers() if type(layer) in _LAYERS]
        hooks = [layer.register_forward_hook(self._record, with_kwargs=True) for layer in known]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def obstacle(self, outputs: Tensor) -> str | None:
        """Return why the squares of the recorded pass, which gave ``outputs``, cannot be computed; None if they can."""
        layers = list(self._layers())
        for layer in layers:
            if type(layer) not in _LAYERS:
                known = ", ".join(kind.__name__ for kind in _LAYERS)
                return f"the model trains a {type(layer).__name__}, expected {known}"
            if {name for name, _ in layer.named_parameters(recurse=False)} - {"weight", "bias"}:
                return f"{layer} has parameters of other names, expected a weight and a bias"
        times = Counter(use.layer for use in self.uses)
        for layer in layers:
            if times[layer] != 1:
                return f"{layer} was called {times[layer]} times, expected once"
        parameters = [id(p) for layer in layers for p in _trainable(layer)]
        if len(set(parameters)) < len(parameters):
            return "two layers share a parameter, expected parameters of their own"
        for use in self.uses:
            if use.edge is None:
                return f"{use.layer} was called without gradients, expected a call that records them"
            if use.after.ndim < 2 or len({len(t) if t.ndim else 0 for t in (outputs, use.before, use.after)}) > 1:
                return f"{use.layer} has other rows than the outputs, expected one row for each example"
        if self._is_used_elsewhere(outputs, set(parameters)):
            return "a parameter is also used outside its layer, expected one use of each"
        return None

    def _is_used_elsewhere(self, outputs: Tensor, parameters: set[int]) -> bool:
        """Return whether the outputs depend on parameters, given by id, in other ways than by the recorded calls."""
        below = {use.edge.node: use.below for use in self.uses if use.edge is not None}
        pending, seen = [outputs.grad_fn], set()
        while pending:
            node = pending.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in below:
                edge = below[node]
                pending.append(None if edge is None else edge.node)
            elif id(getattr(node, "variable", None)) in parameters:
                return True
            else:
                pending.extend(following for following, _ in node.next_functions)
        return False

    def agrees(self, outputs: Tensor) -> bool | None:
        """Return whether the square of one example agrees with its full gradient, and involves no other example.

        False if examples interact or a hook changes what a layer returns; None if the outputs do not depend on some
        layer at present, for example because a later layer starts at zero.
        """
        row = len(outputs) // 2
        w = torch.zeros_like(outputs)
        w[row] = torch.linspace(1, 2, w[row].numel()).reshape(w[row].shape)
        deltas = [delta for delta in self._deltas(outputs, w, differentiable=False) if delta is not None]
        if any(bool(delta[:row].any() or delta[row + 1 :].any()) for delta in deltas):
            return False
        parameters = [p for layer in self._layers() for p in _trainable(layer)]
        whole = torch.autograd.grad(outputs, parameters, w, retain_graph=True, allow_unused=True)
        wanted = sum(float(widened(g).square().sum()) for g in whole if g is not None)
        found = float(self.square(outputs, w, differentiable=False).detach())
        narrow = any(use.after.dtype in _NARROW for use in self.uses)
        if abs(found - wanted) > (0.05 if narrow else 1e-3) * max(found, wanted):
            return False
        return True if all(bool(delta.any()) for delta in deltas) else None

    def square(self, outputs: Tensor, w: Tensor, *, differentiable: bool, signs: Signs | None = None) -> Tensor:
        """Return ``Σ_i |J_iᵀ w_i|²`` for the recorded pass, which gave ``outputs``, or with ``signs`` an estimate."""
        deltas = self._deltas(outputs, w, differentiable)
        pairs = zip(self.uses, deltas, strict=True)
        return torch.stack([_square(use, delta, signs) for use, delta in pairs if delta is not None]).sum()

    def squares_by_parameter(self, outputs: Tensor, along: list[Tensor]) -> dict[int, Tensor]:
        """Return ``Σ_c Σ_i |J_iᵀ w_ci|²`` for each parameter, by its id; ``along`` holds the w_c."""
        found: dict[int, Tensor] = {}
        for w in along:
            for use, delta in zip(self.uses, self._deltas(outputs, w, differentiable=False), strict=True):
                for name in ("weight", "bias"):
                    p = getattr(use.layer, name)
                    if delta is None:
                        continue
                    if p is not None and p.requires_grad:
                        square = _square(use, delta, None, only=name).detach().double()
                        found[id(p)] = found.get(id(p), torch.zeros_like(square)) + square
        return found

    def _deltas(self, outputs: Tensor, w: Tensor, differentiable: bool) -> tuple[Tensor | None, ...]:
        edges = [use.edge for use in self.uses if use.edge is not None]
        return torch.autograd.grad(outputs, edges, w, create_graph=differentiable, retain_graph=True, allow_unused=True)

    def _layers(self) -> Iterator[nn.Module]:
        return (module for module in self.model.modules() if _trainable(module))

    def _record(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        before = (*args, *kwargs.values())[0]
        edges = [get_gradient_edge(t) if t.requires_grad else None for t in (output, before)]
        self.uses.append(_Use(layer, before, output, *edges))


def widened(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if its type is narrower."""
    return tensor.float() if tensor.dtype in _NARROW else tensor


def _trainable(layer: nn.Module) -> list[nn.Parameter]:
    return [p for p in layer.parameters(recurse=False) if p.requires_grad]


def _square(use: _Use, delta: Tensor, signs: Signs | None, only: str | None = None) -> Tensor:
    """Return the sum over examples of the squared gradient of one layer, or of its weight or bias only."""
    layer, before, delta = use.layer, widened(use.before), widened(delta)
    parts = [getattr(layer, name) if only in (None, name) else None for name in ("weight", "bias")]
    weight, bias = (p is not None and p.requires_grad for p in parts)
    if isinstance(layer, nn.Linear):
        return _linear(before, delta, weight, bias)
    if isinstance(layer, nn.LayerNorm):
        summed = range(1, delta.ndim - len(layer.normalized_shape))
        scaled = F.layer_norm(before, layer.normalized_shape, eps=layer.eps) * delta
    else:
        summed = range(2, delta.ndim)
        if isinstance(layer, _CONVOLUTIONS):
            square = convolution_square(layer, before, _combined(layer, delta, signs)) if weight else 0
            return torch.as_tensor(square + bias * _total(delta, summed))
        assert isinstance(layer, nn.GroupNorm)
        scaled = F.group_norm(before, layer.num_groups, eps=layer.eps) * delta
    return weight * _total(scaled, summed) + bias * _total(delta, summed)


def _combined(layer: _Convolution, delta: Tensor, signs: Signs | None) -> Tensor:
    """Return random combinations R δ_i of the output channels, where RᵀR has the identity as its mean."""
    channels = delta.shape[1]
    if signs is None or layer.groups > 1 or channels <= _COMBINATIONS:
        return delta
    R = signs(delta.new_empty(len(delta), _COMBINATIONS, channels)) / _COMBINATIONS**0.5
    return torch.bmm(R, delta.flatten(2)).reshape(*R.shape[:2], *delta.shape[2:])


def _total(delta: Tensor, axes: range) -> Tensor:
    """Sum ``delta`` over the given axes, and return the sum of the squares of the results."""
    return (delta.sum(tuple(axes)) if axes else delta).square().sum()


def _linear(before: Tensor, delta: Tensor, weight: bool, bias: bool) -> Tensor:
    if delta.ndim == 2:
        return (delta.square().sum(1) * (weight * before.square().sum(1) + bias)).sum()
    a, d = before.flatten(1, -2), delta.flatten(1, -2)
    places, size = a.shape[1], a.shape[2] * d.shape[2]
    if places * (a.shape[2] + d.shape[2]) < size:  # inner products between places cost less than the gradients
        return ((a @ a.mT * weight + bias) * (d @ d.mT)).sum()
    return weight * (d.mT @ a).square().sum() + bias * d.sum(1).square().sum()


def convolution_square(layer: _ConvNd, before: Tensor, delta: Tensor) -> Tensor:
    """Return ``Σ_i |G_i|²``, where G_i is the gradient of example i in the weight of a convolution with any options.

    ``delta`` is the derivative in the output, or in combinations of its channels; examples are along the first axis.
    """
    padding = layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        before, padding = F.pad(before, layer._reversed_padding_repeated_twice, mode=mode), (0,) * len(layer.stride)
    square: Tensor = _ConvolutionSquare.apply(layer, padding, before, delta)  # type: ignore[no-untyped-call]
    return square


class _ConvolutionSquare(torch.autograd.Function):
    """The squared gradient norms of all examples, from one grouped convolution with a group for each example.

    The derivatives are written out as convolutions, because automatic differentiation would cost more than the whole
    training step.
    """

    @staticmethod
    def forward(ctx: Any, layer: _ConvNd, padding: tuple[int, ...], before: Tensor, delta: Tensor) -> Tensor:
        n = len(before)
        ctx.n, ctx.options = n, (layer.stride, padding, layer.dilation, False, [0] * len(padding), n * layer.groups)
        a, d = before.flatten(0, 1)[None], delta.flatten(0, 1)[None]
        like = layer.weight.new_empty(()).to(a).expand(d.shape[1], *layer.weight.shape[1:])
        gradients = _backward(d, a, like, ctx.options, [False, True, False])[1]
        ctx.save_for_backward(a, d, gradients)
        return gradients.flatten().dot(gradients.flatten())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, None, Tensor | None, Tensor | None]:
        a, d, gradients = ctx.saved_tensors
        by_before = by_delta = None
        if ctx.needs_input_grad[2]:
            by_before = _backward(d, a, gradients, ctx.options, [True, False, False])[0]
        if ctx.needs_input_grad[3]:
            by_delta = torch.ops.aten.convolution(a, gradients, None, *ctx.options)
        found = ((None if t is None else 2 * cotangent * t[0].unflatten(0, (ctx.n, -1))) for t in (by_before, by_delta))
        return None, None, *found  # type: ignore[return-value]


def _backward(d: Tensor, a: Tensor, weight: Tensor, options: tuple[Any, ...], mask: list[bool]) -> tuple[Tensor, ...]:
    out: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(d, a, weight, None, *options, mask)
    return out
