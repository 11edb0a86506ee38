"""Products with the Hessian of a loss in the outputs of a network, ``∇²ℓ``, the middle factor of ``Jᵀ ∇²ℓ J``."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError
from flatmin.nn.operators.square_root import cross_entropy_mass, known_loss
from flatmin.nn.operators.token_loss import TokenCrossEntropy

__all__ = ["OutputProduct", "differentiated", "lean_loss", "output_hessian"]

#: A function that multiplies ``∇²ℓ`` by a vector, given as one tensor for each output that depends on the weights. If
#: its second argument is True, each tensor has one more axis in front, over several vectors.
OutputProduct = Callable[[list[Tensor | None], bool], list[Tensor | None]]
#: Largest number of logits whose softmax is in memory at once.
_LOGITS_AT_ONCE = 1 << 20


def output_hessian(loss: Any, value_of: Callable[[Any], Tensor], outputs: Any, targets: Any) -> OutputProduct:
    """Return the product with ``∇²ℓ`` at some outputs, where ``value_of`` maps outputs to the loss and checks it.

    For the cross entropy of logits the Hessian of an example of weight c and softmax p is ``c (diag p − p pᵀ)``. It is
    applied to few examples at a time, so that no copy of the logits is made except the result. Automatic
    differentiation multiplies for all other losses.
    """
    if not any(map(differentiated, tree_leaves(outputs))):
        raise InputError("the outputs do not depend on the parameters, expected a model that does not detach them")
    known = known_loss(loss)
    if isinstance(outputs, Tensor) and type(known) in (nn.CrossEntropyLoss, TokenCrossEntropy):
        with torch.no_grad():
            value_of(outputs.detach())
            return partial(_cross_entropy, *_examples(known, outputs.detach(), targets))
    bases = [t.detach().requires_grad_() if differentiated(t) else t for t in tree_leaves(outputs)]
    free = iter(bases)
    value = value_of(tree_map(lambda _: next(free), outputs))
    bases = [t for t in bases if differentiated(t)]
    slopes = torch.autograd.grad(value, bases, create_graph=True, allow_unused=True) if differentiated(value) else ()

    def product(vectors: list[Tensor | None], batched: bool) -> list[Tensor | None]:
        pairs = [
            (s, v) for s, v in zip(slopes, vectors, strict=False) if s is not None and s.requires_grad and v is not None
        ]
        if not pairs:
            return [None] * len(vectors)
        ends, along = zip(*pairs, strict=True)
        options = {"retain_graph": True, "allow_unused": True, "is_grads_batched": batched}
        return list(torch.autograd.grad(ends, bases, along, **options))

    return product


def differentiated(leaf: Any) -> bool:
    """Return whether an output depends on the weights."""
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _examples(loss: nn.CrossEntropyLoss, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the logits (m, classes) and weights (m,) of all examples, and the axis of the classes."""
    if isinstance(loss, TokenCrossEntropy):
        flat = logits.flatten(0, -2)
        return flat, cross_entropy_mass(loss, flat, loss.targets(targets).flatten(), 1), logits.ndim - 1
    classes = min(logits.ndim - 1, 1)
    mass = cross_entropy_mass(loss, logits, targets, classes)
    return logits.movedim(classes, -1).reshape(-1, logits.shape[classes]), mass.flatten(), classes


def _cross_entropy(
    logits: Tensor, mass: Tensor, classes: int, vectors: list[Tensor | None], batched: bool
) -> list[Tensor | None]:
    (vector,) = vectors
    if vector is None:
        return [None]
    whole = (vector if batched else vector[None]).movedim(classes + 1, -1)
    flat = whole.reshape(len(whole), *logits.shape)
    result = _bent(logits, mass, flat).reshape(whole.shape).movedim(-1, classes + 1)
    return [result if batched else result[0]]


def _bent(logits: Tensor, mass: Tensor, vectors: Tensor) -> Tensor:
    """Return ``c (diag p − p pᵀ) v`` for examples of weight c; vectors and result have the shape (k, m, classes)."""
    out = torch.empty_like(vectors)
    for rows in _few_rows(logits):
        p, v = logits[rows].softmax(-1), vectors[:, rows]
        torch.sub(v, (p * v).sum(-1, keepdim=True), out=out[:, rows])
        out[:, rows].mul_(p.mul_(mass[rows, None]))
    return out


def _few_rows(logits: Tensor) -> Iterator[slice]:
    """Yield slices of examples (m, classes) whose logits are at most `_LOGITS_AT_ONCE`."""
    step = max(1, _LOGITS_AT_ONCE // logits.shape[1])
    for start in range(0, len(logits), step):
        yield slice(start, start + step)


def lean_loss(loss: Any, value_of: Callable[[Any], Tensor], outputs: Any, targets: Any) -> Tensor | None:
    """Return a cross entropy whose first two derivatives in many logits need few copies of the logits, or None.

    PyTorch's own derivatives keep the softmax and several products with it. The ones here compute the softmax of few
    examples at a time, whenever they need it. Vectors cannot be multiplied in one batched pass. None is returned for
    other losses, for label smoothing, and for targets that are probabilities.
    """
    known = known_loss(loss)
    if not isinstance(outputs, Tensor) or type(known) not in (nn.CrossEntropyLoss, TokenCrossEntropy):
        return None
    if known.label_smoothing or targets.is_floating_point() or not differentiated(outputs):
        return None
    with torch.no_grad():
        value = value_of(outputs.detach())
    logits, mass, _ = _examples(known, outputs, targets)
    labels = known.targets(targets) if isinstance(known, TokenCrossEntropy) else targets
    labels = torch.where(labels == known.ignore_index, 0, labels).flatten()
    found: Tensor = _Value.apply(logits, value, mass.detach(), labels)  # type: ignore[no-untyped-call]
    return found


class _Value(torch.autograd.Function):
    """A mean cross entropy whose value is known, as a function of logits (m, classes), weights and labels (m,)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor, mass: Tensor, labels: Tensor) -> Tensor:
        ctx.save_for_backward(logits, mass, labels)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        logits, mass, labels = ctx.saved_tensors
        return _Slope.apply(logits, mass * cotangent.detach(), labels), None, None, None  # type: ignore[no-untyped-call]


class _Slope(torch.autograd.Function):
    """The derivative ``c (p − e_y)`` of the cross entropy of each example."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, mass: Tensor, labels: Tensor) -> Tensor:
        ctx.save_for_backward(logits, mass)
        out = torch.empty_like(logits)
        for rows in _few_rows(logits):
            torch.softmax(logits[rows], -1, out=out[rows])
            out[rows].mul_(mass[rows, None]).scatter_add_(1, labels[rows, None], -mass[rows, None])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        logits, mass = ctx.saved_tensors
        return _bent(logits, mass, cotangent[None])[0], None, None
