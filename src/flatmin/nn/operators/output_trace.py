"""The exact trace of the Gauss-Newton matrix, by one gradient for each output of each sample."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from flatmin.nn.estimators.spending import Count, counting
from flatmin.nn.operators.curvature import Curvature
from flatmin.nn.operators.per_example import PerExample
from flatmin.nn.operators.state import FAILURES
from flatmin.nn.operators.streaming import Batch

__all__ = ["output_traces", "squared_norms", "squares"]

#: Largest number of entries in the gradients of single samples that are in memory at once.
_MAX_NUMBERS = 1 << 22

_log = logging.getLogger(__name__)


#: A function from the gradients of one sample in all parameters to quadratic forms of them, (k,), in float64.
QuadraticForms = Callable[[Sequence[Tensor]], Tensor]


def squared_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return the squared norm of each gradient."""
    return torch.stack([g.double().square().sum() for g in gradients])


def squares(gradients: Sequence[Tensor]) -> Tensor:
    """Return the square of every entry of the gradients, for the diagonal of the matrix in place of traces."""
    return torch.cat([g.double().square().flatten() for g in gradients])


def output_traces(
    curvature: Curvature, max_outputs: int, forms: QuadraticForms = squared_norms
) -> tuple[Tensor, int] | None:
    """Return the trace of the Gauss-Newton block of each parameter, and the number of gradients for each sample.

    With the eigenvalues λ_ic and eigenvectors u_ic of ``∇²ℓ_i`` the trace is the mean over samples of
    ``Σ_c λ_ic ‖J_iᵀ u_ic‖²``. The computation takes one pass over the data for each output of a sample, for any number
    of parameters. The result is None if samples have more than ``max_outputs`` outputs or cannot be treated one by one:
    if outputs are not a single tensor, with batch norm or dropout in training mode, for losses that compare samples,
    and for models that `torch.func.vmap` refuses. An interrupt leaves no result. Other ``forms`` than squared norms
    give other partial traces.
    """
    like = forms([torch.zeros_like(p) for p in curvature.weights.tensors])
    total = torch.zeros_like(like, device=curvature.device)
    weight, passes, refused = 0.0, 0, 0
    with curvature.processes.collective(), curvature.evaluations() as evaluations, counting(None, "gradients") as count:
        for batch, run in evaluations:
            found = run(partial(_batch_traces, curvature, batch, max_outputs, forms, count))
            if found is None:
                refused = 1
                break
            total += batch.weight * found[0]
            weight, passes = weight + batch.weight, max(passes, found[1])
    total, weight = curvature.processes.sums(total, weight)
    passes, refused = (curvature.processes.largest(count) for count in (passes, refused))
    return None if refused or not weight else (total / weight, passes)


def _batch_traces(
    curvature: Curvature,
    batch: Batch,
    max_outputs: int,
    forms: QuadraticForms,
    count: Count,
    model: nn.Module,
    leaves: list[Tensor],
) -> tuple[Tensor, int] | None:
    with torch.no_grad():
        outputs = batch.outputs(model, curvature.loss)
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != (batch.size,) or outputs[0].numel() > max_outputs:
        return None
    roots = _roots(curvature, batch, outputs)
    if roots is None:
        return None
    if forms is squared_norms:
        by_layer = _layer_traces(curvature, batch, model, leaves, outputs, roots)
        if by_layer is not None:
            count.add(batch.size * len(roots))
            return by_layer, len(roots)
    total = torch.zeros((), dtype=torch.float64, device=outputs.device)
    step = max(1, _MAX_NUMBERS // curvature.weights.size)
    for values, vectors in roots:
        for part in (slice(start, start + step) for start in range(0, batch.size, step)):
            try:
                single, found = _form_values(curvature, batch, model, forms, vectors, part)
            except FAILURES as error:  # the model runs outside vmap, so it is vmap that refuses one of its operations
                _log.info("the trace is not computed sample by sample, since vmap cannot evaluate the model: %s", error)
                return None
            if not _same(single, outputs[part]):
                return None
            total = total + values[part] @ found
            count.add(len(found))
    return total, len(roots)


def _layer_traces(
    curvature: Curvature,
    batch: Batch,
    model: nn.Module,
    leaves: list[Tensor],
    outputs: Tensor,
    roots: list[tuple[Tensor, Tensor]],
) -> Tensor | None:
    """Return the sum over samples of ``Σ_c λ_c ‖J_pᵀ u_c‖²`` for each parameter p, from inputs and slopes of layers.

    For a linear layer with input a and slope δ of the output the squared gradient is ``|δ|² |a|²``. The result is None
    if the model trains other layers than `PerExample` knows, the samples interact, or the outputs are random.
    """
    layers = PerExample(model)
    with layers.recording():
        again = batch.outputs(model, curvature.loss)
    usable = bool(roots) and len(outputs) > 0 and _same(again.detach(), outputs) and layers.obstacle(again) is None
    if not usable or not layers.agrees(again):
        return None
    total = torch.zeros(len(leaves), dtype=torch.float64, device=outputs.device)
    for sign in (1, -1):
        sizes = [(sign * values).clamp(min=0).sqrt().to(outputs) for values, _ in roots]
        along = [size.reshape(-1, *[1] * (u.ndim - 1)) * u for size, (_, u) in zip(sizes, roots, strict=True)]
        found = layers.squares_by_parameter(again, [w for w in along if bool(w.any())])
        total += sign * torch.stack([found.get(id(leaf), total.new_zeros(())) for leaf in leaves])
    return total


def _roots(curvature: Curvature, batch: Batch, outputs: Tensor) -> list[tuple[Tensor, Tensor]] | None:
    """Return pairs (λ_c, u_c) of ``∇²ℓ_i`` for all samples; None if the loss couples samples."""
    base = outputs.detach().requires_grad_()
    slope = torch.autograd.grad(curvature.loss_of(batch, base), base, create_graph=True, materialize_grads=True)[0]
    if not slope.requires_grad:
        return []

    def product(direction: Tensor) -> Tensor:
        out = torch.autograd.grad(slope, base, direction.reshape(base.shape), retain_graph=True)[0]
        return out.reshape(len(base), -1).double()

    n, width = len(base), base[0].numel()
    H = torch.stack([product(e.expand(n, width)) for e in torch.eye(width, dtype=base.dtype, device=base.device)], 1)
    probe = torch.randn(n, width, generator=torch.Generator().manual_seed(0), dtype=base.dtype).to(base.device)
    if not _same(torch.einsum("nc,ncd->nd", probe.double(), H), product(probe)):
        return None
    values, vectors = torch.linalg.eigh((H + H.mT) / 2)
    least = width * torch.finfo(base.dtype).eps * values.abs().max()
    wanted = [c for c in range(width) if bool(values[:, c].abs().max() > least)]
    return [(values[:, c], vectors[:, :, c].reshape(base.shape).to(base.dtype)) for c in wanted]


def _form_values(
    curvature: Curvature, batch: Batch, model: nn.Module, forms: QuadraticForms, along: Tensor, part: slice
) -> tuple[Tensor, Tensor]:
    """Return the outputs of each sample in ``part``, and the forms of its gradient of ``⟨along, outputs⟩``."""
    weights, n = curvature.weights, len(along)
    leaves, structure = tree_flatten(batch.x)
    sliced = [isinstance(leaf, Tensor) and leaf.shape[:1] == (n,) for leaf in leaves]
    present = {name: p.detach() for name, p in zip(weights.names, weights.tensors, strict=True)}

    def one(parameters: dict[str, Tensor], direction: Tensor, parts: list[Any]) -> tuple[Tensor, Tensor]:
        own = iter(parts)
        x = [next(own)[None] if cut else leaf for cut, leaf in zip(sliced, leaves, strict=True)]
        sample = batch._replace(x=tree_unflatten(x, structure))
        out = sample.outputs(lambda *a, **k: functional_call(model, parameters, a, k), curvature.loss)[0]
        return (out * direction).sum(), out

    def values(direction: Tensor, parts: list[Any]) -> tuple[Tensor, Tensor]:
        gradients, out = grad(one, has_aux=True)(present, direction, parts)
        return out, forms([gradients[name] for name in weights.names])

    parts = [leaf[part] for cut, leaf in zip(sliced, leaves, strict=True) if cut]
    found: tuple[Tensor, Tensor] = vmap(values)(along[part], parts)
    return found


def _same(found: Tensor, wanted: Tensor) -> bool:
    """Return whether two results agree up to the rounding errors of single precision."""
    return torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
