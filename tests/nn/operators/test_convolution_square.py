"""Squared gradients of single examples in a convolution: against one backward pass for each, to second order."""

import pytest
import torch
from torch import nn

from flatmin.nn.operators.per_example import convolution_square

LAYERS = {
    "plain": (nn.Conv2d(2, 3, 2), (5, 2, 4, 4)),
    "strides and dilation": (nn.Conv2d(2, 4, 2, stride=2, dilation=(1, 2), padding=1), (3, 2, 6, 5)),
    "groups": (nn.Conv1d(4, 6, 3, groups=2, padding="same"), (4, 4, 7)),
    "circular": (nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), (4, 2, 6)),
    "volume": (nn.Conv3d(1, 2, 2, bias=False), (2, 1, 3, 3, 3)),
}


def setting(name):
    layer, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    layer = layer.double()
    before = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    after = layer(before).detach()
    delta = torch.randn(after.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    return layer, before, delta


def one_by_one(layer, before, delta):
    squares = []
    for x, d in zip(before, delta, strict=True):
        (G,) = torch.autograd.grad((layer(x[None]) * d[None]).sum(), layer.weight, create_graph=True)
        squares.append(G.square().sum())
    return torch.stack(squares).sum()


@pytest.mark.parametrize("name", LAYERS)
def test_value_and_derivatives_are_those_of_one_backward_pass_for_each_example(name):
    layer, before, delta = setting(name)
    found, wanted = convolution_square(layer, before, delta), one_by_one(layer, before, delta)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
    pairs = (torch.autograd.grad(value, (before, delta)) for value in (found, wanted))
    for ours, theirs in zip(*pairs, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_fewer_combinations_of_output_channels():
    layer, before, delta = setting("plain")
    R = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    combined = torch.einsum("rc,nchw->nrhw", R, delta)
    found, wanted = convolution_square(layer, before, combined), 0.0
    for x, d in zip(before, delta, strict=True):
        (G,) = torch.autograd.grad((layer(x[None]) * d[None]).sum(), layer.weight)
        wanted = wanted + torch.einsum("rc,cihw->rihw", R, G).square().sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
