"""Products with the Hessian of a loss in the outputs, against the Hessian by PyTorch's functional API."""

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import TokenCrossEntropy
from flatmin.nn.operators import output_hessian as module
from flatmin.nn.operators.output_hessian import lean_loss, output_hessian
from tests.nn.networks import LOSSES, same, values


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.tensor([[1, 2, -100, 0], [0, 0, 2, 1]])
CASES = {name: (loss, values(), y) for name, (loss, y) in LOSSES.items()} | {
    "tokens": (TokenCrossEntropy(), randn(2, 4, 3), LABELS),
    "labels of tokens": (
        TokenCrossEntropy(shift=False, weight=torch.tensor([1.0, 2, 3]).double()),
        randn(2, 4, 3),
        LABELS,
    ),
    "classes along the second axis": (nn.CrossEntropyLoss(), randn(2, 3, 4), LABELS),
    "one example": (nn.CrossEntropyLoss(), randn(3), torch.tensor(1)),
}


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_the_dense_hessian(name, monkeypatch):
    monkeypatch.setattr(module, "_LOGITS_AT_ONCE", 7)
    loss, outputs, y = CASES[name]
    size = outputs.numel()
    H = torch.autograd.functional.hessian(lambda z: loss(z, y), outputs).reshape(size, size)
    product = output_hessian(loss, lambda z: loss(z, y), outputs.requires_grad_(), y)
    block = randn(5, *outputs.shape, seed=1)
    (found,) = product([block.clone()], True)
    same(found.reshape(5, size), block.reshape(5, size) @ H)
    (found,) = product([block[2].clone()], False)
    same(found.reshape(size), H @ block[2].reshape(size))


def test_vectors_are_not_changed_and_constant_outputs_are_refused():
    outputs, y, vector = randn(2, 3).requires_grad_(), torch.tensor([0, 1]), randn(2, 3)
    before = vector.clone()
    product = output_hessian(nn.CrossEntropyLoss(), lambda z: nn.CrossEntropyLoss()(z, y), outputs, y)
    product([vector], False)
    assert torch.equal(vector, before)
    assert product([None], False) == [None]
    with pytest.raises(InputError, match="do not depend on the parameters"):
        output_hessian(nn.CrossEntropyLoss(), None, outputs.detach(), y)


#: The cross entropies of whole labels without smoothing.
LEAN = {
    *("tokens", "labels of tokens", "classes along the second axis", "one example"),
    *("cross entropy", "weighted", "ignoring"),
}


@pytest.mark.parametrize("name", CASES)
def test_lean_losses_have_the_derivatives_of_the_loss(name, monkeypatch):
    monkeypatch.setattr(module, "_LOGITS_AT_ONCE", 7)
    loss, outputs, y = CASES[name]
    z = outputs.detach().requires_grad_()
    lean = lean_loss(loss, lambda z: loss(z, y), z, y)
    assert (lean is None) == (name not in LEAN)
    if lean is None:
        return
    u = randn(*outputs.shape, seed=3)
    (slope,) = torch.autograd.grad(lean, z, create_graph=True)
    (bent,) = torch.autograd.grad(slope, z, u)
    (wanted,) = torch.autograd.grad(value := loss(z, y), z, create_graph=True)
    same(lean.detach(), value.detach())
    same(slope.detach(), wanted.detach())
    same(bent, torch.autograd.grad(wanted, z, u)[0])
