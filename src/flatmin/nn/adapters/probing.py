"""Partial traces of the Gauss-Newton matrix in adapters: exact, output by output, or from random probes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from flatmin.errors import InputError
from flatmin.nn.adapters.layers import Adapter
from flatmin.nn.estimators.spending import Count, counting
from flatmin.nn.operators.curvature import Curvature
from flatmin.nn.operators.output_trace import output_traces
from flatmin.nn.operators.square_root import loss_root
from flatmin.nn.operators.streaming import Batch, Loss

__all__ = ["MIN_PROBES", "Forms", "Traces", "exact_traces", "probed_traces"]

#: Smallest number of probes, and the number after which an interrupt leaves a result; fewer give no reliable interval.
MIN_PROBES = 16

#: Largest relative distance between the gradients in A and B and those that W = W0 + s B A implies.
_AGREEMENT = 1e-3

_log = logging.getLogger(__name__)


class Traces(NamedTuple):
    """Partial traces for one adapter: P and Q, (..., r, r), see `fibre`, and the trace in the weight W, (...)."""

    P: Tensor
    Q: Tensor
    weight: Tensor

    @property
    def trace(self) -> Tensor:
        """The trace in (A, B)."""
        return (self.P.diagonal(dim1=-2, dim2=-1) + self.Q.diagonal(dim1=-2, dim2=-1)).sum(-1)


@dataclass(frozen=True, eq=False)
class Forms:
    """The quadratic forms ``a aᵀ``, ``bᵀ b`` and ``|w|²`` of gradients a, b, w in A, B and W, for every adapter.

    Their sums over the columns of a square root of the curvature are P, Q and the trace in W. ``positions`` are the
    numbers of the three parameters of each adapter among those of a `Curvature`.
    """

    adapters: Sequence[Adapter]
    positions: Sequence[tuple[int, ...]]

    @classmethod
    def from_curvature(cls, adapters: Sequence[Adapter], curvature: Curvature) -> "Forms":
        """Find the parameters of the adapters among those of a curvature."""
        place = {id(p): i for i, p in enumerate(curvature.weights.tensors)}
        return cls(adapters, [tuple(place[id(p)] for p in adapter.parameters) for adapter in adapters])

    def __call__(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return all forms of one gradient, in one vector."""
        parts: list[Tensor] = []
        for one, two, three in self.positions:
            a, b = gradients[one].double().flatten(1), gradients[two].double()
            b = b.reshape(*b.shape[:2], -1)
            parts += [(a @ a.mT).flatten(), torch.einsum("irk,isk->rs", b, b).flatten()]
            parts.append(gradients[three].double().square().sum()[None])
        return torch.cat(parts)

    def split(self, flat: Tensor) -> list[Traces]:
        """Return sums of forms, (..., number of forms), adapter by adapter."""
        found, start = [], 0
        for adapter in self.adapters:
            square = adapter.rank**2
            P, Q, weight = torch.split(flat[..., start : start + 2 * square + 1], [square, square, 1], -1)
            shape = (*flat.shape[:-1], adapter.rank, adapter.rank)
            found.append(Traces(P.reshape(shape), Q.reshape(shape), weight[..., 0]))
            start += 2 * square + 1
        return found

    def check(self, curvature: Curvature) -> None:
        """Raise `InputError` unless the outputs for the first batch depend on weights ``W0 + s B A`` alone."""
        with curvature.evaluations() as evaluations:
            for batch, run in evaluations:
                run(partial(self._compare, batch, curvature.loss))
                return

    def _compare(self, batch: Batch, loss: Loss, model: nn.Module, leaves: list[Tensor]) -> None:
        ends = [t for t in tree_leaves(batch.outputs(model, loss)) if isinstance(t, Tensor) and t.requires_grad]
        generator = torch.Generator().manual_seed(0)
        along = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in ends]
        gradients = _gradients(ends, leaves, along, keep=False) if ends else [torch.zeros_like(p) for p in leaves]
        for adapter, places in zip(self.adapters, self.positions, strict=True):
            a, b, w = (gradients[i].double() for i in places)
            w = adapter.in_weight(w)
            A, B = adapter.A.detach().double().flatten(1), adapter.B.detach().double().flatten(1)
            pairs = (a.flatten(1), adapter.scale * B.mT @ w), (b.flatten(1), adapter.scale * w @ A.mT)
            off = max(float((x - y).norm() / max(float(x.norm()), float(y.norm()), 1e-300)) for x, y in pairs)
            if off > _AGREEMENT:
                raise InputError(
                    f"{adapter.name} differs by {off:.1%} from a layer with the weight W0 + s B A, s = "
                    f"{adapter.scale:g}, expected a low-rank adapter that is switched on, with a weight that has no "
                    "other use; if the layer multiplies by another s, name it scaling or scale"
                )


def exact_traces(forms: Forms, curvature: Curvature, max_outputs: int) -> tuple[list[Traces], int] | None:
    """Return the partial traces and the number of gradients for each sample; None as for `output_traces`."""
    found = output_traces(curvature, max_outputs, forms)
    return None if found is None else (forms.split(found[0]), found[1])


def probed_traces(forms: Forms, curvature: Curvature, probes: int, seed: int) -> list[Traces]:
    """Return one unbiased estimate of the partial traces for each probe, along a first axis.

    A probe is ``Jᵀ S v`` for random signs v in every batch, with the Jacobian J of the outputs and the root S of the
    Hessian of the loss. So its forms are positive semidefinite, and accurate relative to P and Q in all directions. An
    interrupt (Ctrl-C) after the first 16 probes ends the measurement, and the result has the probes up to then.
    """
    generator, blocks, done = torch.Generator().manual_seed(seed), [], 0
    with counting(None, "gradients") as count:
        while done < probes:
            number = min(MIN_PROBES, probes - done)
            try:
                blocks.append(_block(forms, curvature, number, generator, count))
            except KeyboardInterrupt:
                if not blocks or curvature.processes.count > 1:
                    raise
                _log.warning("interrupted after %d of %d probes, which are used", done, probes)
                break
            done += number
            count.total = count.number // done * probes
    return forms.split(torch.cat(blocks))


def _block(forms: Forms, curvature: Curvature, probes: int, generator: torch.Generator, count: Count) -> Tensor:
    """Return the forms of some probes, (probes, number of forms), averaged over all data."""
    total, weight = torch.zeros(0), 0.0
    with curvature.processes.collective(), curvature.evaluations() as evaluations:
        for batch, run in evaluations:
            found = run(partial(_probe, forms, curvature, batch, probes, generator))
            total = batch.weight * found + (total if len(total) else 0.0)
            weight += batch.weight
            count.add(probes)
    if not len(total):
        total = torch.zeros(probes, sum(2 * a.rank**2 + 1 for a in forms.adapters), dtype=torch.float64)
    total, weight = curvature.processes.sums(total.to(curvature.device), weight)
    if not weight:
        raise InputError("data holds no samples, expected at least one")
    return total.cpu() / weight


def _probe(
    forms: Forms,
    curvature: Curvature,
    batch: Batch,
    probes: int,
    generator: torch.Generator,
    model: nn.Module,
    leaves: list[Tensor],
) -> Tensor:
    outputs = batch.outputs(model, curvature.loss)
    if not isinstance(outputs, Tensor):
        raise InputError(f"the model returns a {type(outputs).__name__}, expected a tensor")
    curvature.loss_of(batch, outputs)
    found = []
    for k in range(probes):
        signs = torch.empty(outputs.shape, dtype=outputs.dtype).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        w = loss_root(curvature.loss, outputs, batch.y, signs.to(outputs.device)).detach()
        gradients = _gradients(outputs, leaves, w, keep=k + 1 < probes)
        found.append(forms(gradients).cpu())
    return torch.stack(found)


def _gradients(outputs: Any, leaves: list[Tensor], w: Any, *, keep: bool) -> Sequence[Tensor]:
    return torch.autograd.grad(outputs, leaves, w, retain_graph=keep, allow_unused=True, materialize_grads=True)
