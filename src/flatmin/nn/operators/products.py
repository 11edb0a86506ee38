"""Products of vectors with the Hessian of the loss of one batch, or with its Gauss-Newton part."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._pytree import tree_leaves

from flatmin.nn.operators.output_hessian import OutputProduct, differentiated

__all__ = ["Product", "forward_product", "gauss_newton_product", "hessian_product", "peer_operator"]

#: A function that multiplies the matrix of a batch by a vector, given as tensors with the shapes of the parameters. If
#: its second argument is True, each tensor has one more axis in front, over several vectors.
Product = Callable[[list[Tensor], bool], list[Tensor | None]]
#: Largest relative difference between a quadratic form by forward and by reverse mode.
_MAX_DIFFERENCE = 1e-2


def hessian_product(loss: Tensor, leaves: list[Tensor]) -> Product:
    """Return the product with the Hessian of a loss, the derivative of its gradient."""
    slope = _gradient([loss], leaves, [None], create_graph=True)
    return lambda vectors, batched: _gradient(slope, leaves, vectors, batched)


def gauss_newton_product(bend: OutputProduct, outputs: Any, leaves: list[Tensor]) -> Product:
    """Return the product with ``Jᵀ ∇²ℓ J``, factor by factor; J is the Jacobian of the outputs, ``bend`` is ``∇²ℓ``."""
    ends = [t for t in tree_leaves(outputs) if differentiated(t)]
    # Jᵀu is linear in u, so J v is the pullback of v through u ↦ Jᵀu, at any u. A zero u needs no memory.
    u = [t.detach().new_zeros(()).expand_as(t).requires_grad_() for t in ends]
    pulled = _gradient(ends, leaves, u, create_graph=True)

    def product(vectors: list[Tensor], batched: bool) -> list[Tensor | None]:
        bent = bend(_gradient(pulled, u, vectors, batched), batched)
        return _gradient(ends, leaves, bent, batched)

    return product


def forward_product(
    bend: OutputProduct, outputs: Any, leaves: list[Tensor], evaluate: Callable[[list[Tensor]], Any]
) -> Product:
    """Return the same product with J v by forward mode, for single vectors.

    ``evaluate`` maps weights to outputs. Forward mode keeps no intermediate results, where the graph of ``Jᵀu`` keeps
    as much as those of three forward passes; but it cannot use one graph for several vectors. A product raises
    `RuntimeError` if forward mode fails or is not the adjoint of reverse mode, ``⟨∇²ℓ J v, J v⟩ ≠ ⟨Jᵀ ∇²ℓ J v, v⟩``.
    """
    free = [differentiated(t) for t in tree_leaves(outputs)]
    ends = [t for t in tree_leaves(outputs) if differentiated(t)]

    def product(vectors: list[Tensor], batched: bool) -> list[Tensor | None]:
        with torch.no_grad(), forward_ad.dual_level():
            duals = [
                forward_ad.make_dual(p.detach(), v)  # type: ignore[no-untyped-call]
                for p, v in zip(leaves, vectors, strict=True)
            ]
            pairs = zip(free, tree_leaves(evaluate(duals)), strict=True)
            pushed = [
                forward_ad.unpack_dual(t).tangent  # type: ignore[no-untyped-call]
                for wanted, t in pairs
                if wanted
            ]
            del duals, pairs
        bent = bend(pushed, batched)
        out = _gradient(ends, leaves, bent, batched)
        along, size = _inner(bent, pushed), _inner(out, out) * _inner(vectors, vectors)
        if abs(_inner(out, vectors) - along) > _MAX_DIFFERENCE * along + torch.finfo(leaves[0].dtype).eps * size**0.5:
            raise RuntimeError("forward mode and reverse mode have different derivatives")
        return out

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


def _inner(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> float:
    """Return the inner product of two lists of tensors; None counts as zero."""
    pairs = zip(first, second, strict=True)
    return sum(float(torch.dot(a.reshape(-1), b.reshape(-1))) for a, b in pairs if a is not None and b is not None)


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
