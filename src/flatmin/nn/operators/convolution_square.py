"""Squared norms of the gradients of single examples in the weights of a convolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.conv import _ConvNd

__all__ = ["convolution_square"]


def convolution_square(layer: _ConvNd, before: Tensor, delta: Tensor) -> Tensor:
    """Return ``Σ_i |G_i|²``, where G_i is the gradient of example i in the weight of a convolution.

    Parameters
    ----------
    layer : Conv1d, Conv2d or Conv3d
        Any stride, dilation, groups and padding.
    before, delta : Tensor
        The input, and the derivative in the output or in combinations of its channels; examples along the first axis.
    """
    padding = layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        before, padding = F.pad(before, layer._reversed_padding_repeated_twice, mode=mode), (0,) * len(layer.stride)
    square: Tensor = _ConvolutionSquare.apply(layer, padding, before, delta)  # type: ignore[no-untyped-call]
    return square


class _ConvolutionSquare(torch.autograd.Function):
    """The squared norms of all examples at once, which are the groups of a single convolution.

    The square is a quadratic form in each argument, and its derivatives are convolutions with ``2 G``. Automatic
    differentiation would compute the same, but at a higher cost than the whole training step.
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
