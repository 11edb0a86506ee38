"""Products of vectors with the Hessian of the loss of one batch, or with its Gauss-Newton part."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError

__all__ = ["Product", "gauss_newton_product", "hessian_product", "peer_operator"]

#: A function that multiplies the matrix of a batch by a vector, given as tensors with the shapes of the parameters. If
#: its second argument is True, each tensor has one more axis in front, over several vectors.
Product = Callable[[list[Tensor], bool], list[Tensor | None]]


def hessian_product(loss: Tensor, leaves: list[Tensor]) -> Product:
    """Return the product with the Hessian of a loss, the derivative of its gradient."""
    slope = _gradient([loss], leaves, [None], create_graph=True)
    return lambda vectors, batched: _gradient(slope, leaves, vectors, batched)


def gauss_newton_product(loss_of: Callable[[Any], Tensor], outputs: Any, leaves: list[Tensor]) -> Product:
    """Return the product with ``Jᵀ ∇²ℓ J``, where J is the Jacobian of the outputs, factor by factor."""
    bases = [t.detach().requires_grad_() if _has_slope(t) else t for t in tree_leaves(outputs)]
    free = iter(bases)
    value = loss_of(tree_map(lambda _: next(free), outputs))
    ends = [t for t in tree_leaves(outputs) if _has_slope(t)]
    bases = [t for t in bases if _has_slope(t)]
    if not ends:
        raise InputError("the outputs do not depend on the parameters, expected a model that does not detach them")
    slope = _gradient([value], bases, [None], create_graph=True)
    # Jᵀu is linear in u, so J v is the pullback of v through u ↦ Jᵀu, at any u.
    u = [torch.zeros_like(t, requires_grad=True) for t in ends]
    pulled = _gradient(ends, leaves, u, create_graph=True)

    def product(vectors: list[Tensor], batched: bool) -> list[Tensor | None]:
        pushed = _gradient(pulled, u, vectors, batched)
        bent = _gradient(slope, bases, pushed, batched)
        return _gradient(ends, leaves, bent, batched)

    return product


def peer_operator(model: nn.Module, loss: Any, x: Any, y: Any, leaves: list[Tensor]) -> Any:
    """Return the Gauss-Newton operator of curvlinops for one batch, in forward mode; its products may raise.

    None unless the loss is a module that averages, and x and y are tensors.
    """
    averages = isinstance(loss, nn.Module) and getattr(loss, "reduction", None) == "mean"
    if not (averages and isinstance(x, Tensor) and isinstance(y, Tensor)):
        return None
    from curvlinops import GGNLinearOperator  # its import takes most of a second

    whole = {"num_data": 1, "batch_size_fn": lambda _: 1}  # no rescaling: this batch is the whole data set
    return GGNLinearOperator(model, loss, leaves, [(x, y)], check_deterministic=False, **whole)


def _gradient(
    outputs: Sequence[Tensor | None],
    inputs: list[Tensor],
    cotangents: Sequence[Tensor | None],
    batched: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return the cotangents pulled back to the inputs; None stands for a zero cotangent or a constant output."""
    pairs = [
        (out, c)
        for out, c in zip(outputs, cotangents, strict=True)
        if out is not None and out.requires_grad and (c is not None or create_graph)
    ]
    if not pairs:
        return [None] * len(inputs)
    ends, along = zip(*pairs, strict=True)
    options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True, "is_grads_batched": batched}
    return list(torch.autograd.grad(ends, inputs, along, **options))


def _has_slope(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
