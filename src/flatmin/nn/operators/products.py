"""Products of one batch: vectors times the Hessian of its loss, or times the Gauss-Newton part, by differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError

__all__ = ["Product", "gauss_newton_product", "hessian_product", "peer_operator"]

#: Takes vectors in the shapes of the parameters to their product with the matrix of a batch; together, with one more
#: axis in front, or singly.
Product = Callable[[list[Tensor], bool], list[Tensor | None]]


def hessian_product(loss: Tensor, leaves: list[Tensor]) -> Product:
    """Return what multiplies by the Hessian of a loss: the derivative of its gradient."""
    slope = _gradient([loss], leaves, [None], create_graph=True)
    return lambda vectors, together: _gradient(slope, leaves, vectors, together)


def gauss_newton_product(loss_of: Callable[[Any], Tensor], outputs: Any, leaves: list[Tensor]) -> Product:
    """Return what multiplies by ``Jᵀ ∇²ℓ J``, J the Jacobian of the outputs: forward, bent, and back."""
    bases = [t.detach().requires_grad_() if _has_slope(t) else t for t in tree_leaves(outputs)]
    free = iter(bases)
    value = loss_of(tree_map(lambda _: next(free), outputs))
    ends = [t for t in tree_leaves(outputs) if _has_slope(t)]
    bases = [t for t in bases if _has_slope(t)]
    if not ends:
        raise InputError("the outputs do not depend on the parameters, expected a model that does not detach them")
    slope = _gradient([value], bases, [None], create_graph=True)
    # Jᵀu is linear in u, so its derivative along v with respect to u is J v, wherever u is.
    u = [torch.zeros_like(t, requires_grad=True) for t in ends]
    pulled = _gradient(ends, leaves, u, create_graph=True)

    def product(vectors: list[Tensor], together: bool) -> list[Tensor | None]:
        pushed = _gradient(pulled, u, vectors, together)
        bent = _gradient(slope, bases, pushed, together)
        return _gradient(ends, leaves, bent, together)

    return product


def peer_operator(model: nn.Module, loss: Any, x: Any, y: Any, leaves: list[Tensor]) -> Any:
    """Return the Gauss-Newton part of a batch as curvlinops has it, in forward mode; None where it cannot.

    It can for a loss module that averages, a tensor x and a tensor y. What it raises otherwise (outputs that are not a
    tensor, operations without a forward mode) comes out of its products.
    """
    if not (isinstance(loss, nn.Module) and getattr(loss, "reduction", None) == "mean"):
        return None
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return None
    from curvlinops import GGNLinearOperator  # takes most of a second

    whole = {"num_data": 1, "batch_size_fn": lambda _: 1}  # this batch is all data
    return GGNLinearOperator(model, loss, leaves, [(x, y)], check_deterministic=False, **whole)


def _gradient(
    outputs: Sequence[Tensor | None],
    inputs: list[Tensor],
    cotangents: Sequence[Tensor | None],
    together: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return the cotangents pulled back to the inputs; None stands for zero, among outputs for a constant."""
    pairs = [
        (out, c)
        for out, c in zip(outputs, cotangents, strict=True)
        if out is not None and out.requires_grad and (c is not None or create_graph)
    ]
    if not pairs:
        return [None] * len(inputs)
    ends, along = zip(*pairs, strict=True)
    return list(
        torch.autograd.grad(
            ends,
            inputs,
            along,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=together,
        )
    )


def _has_slope(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
