"""Flatness measures that do not change when layers are rescaled against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate, changed
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions, shows_options
from flatmin.nn.operators.state import ModelWeights
from flatmin.nn.operators.streaming import Loss
from flatmin.nn.spectrum.trace import operator_trace

__all__ = ["Congruence", "normalized_trace", "relative_flatness"]


@shows_options
def relative_flatness(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    layers: Iterable[str] | None = None,
    method: str = "auto",
    max_products: int | None = None,
    target_std_error: float | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> TraceEstimate:
    r"""Return the relative flatness summed over layers; ``groups`` has one value a layer, by the name of its weights.

    For a layer with weights W, whose row w_s gives output s of the layer, and the Hessian H of the loss in W,

    .. math::
        \kappa(W) = \sum_{s,s'} \langle w_s, w_{s'} \rangle \operatorname{tr} H_{s,s'}, \qquad
        (H_{s,s'})_{tt'} = \frac{\partial^2 L}{\partial w_{st}\, \partial w_{s't'}}.

    The relative flatness ``κ(W)`` is the trace of ``Cᵀ H C`` with ``C Z = R Z`` for any R with ``R Rᵀ = W Wᵀ``, and is
    estimated like any other trace. Relative flatness does not change if W is multiplied by α and another layer is
    rescaled so that the function stays the same, because H is then divided by α² and ``W Wᵀ`` multiplied by α².
    Relative flatness does change if single *inputs* of W are rescaled together with the previous layer.
    `normalized_trace` with ``per="weight"`` does not change in this case.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`, or a `Curvature` in place of all of them. With ``of="gauss_newton"`` H is the Gauss-Newton
        matrix.
    layers : iterable of str, optional
        Names of parameters; by default all with at least two axes, hence no biases. Outputs are along the first axis,
        or the second one for embeddings and transposed convolutions. The groups of a convolution have no output in
        common, so their rows count as orthogonal.
    method, max_products, target_std_error, seed
        As for `hessian_trace`.

    Raises
    ------
    InputError
        If an argument cannot be used, or the loss is not finite or not an average over samples.

    References
    ----------
    Petzka, Kamp, Adilova, Sminchisescu, Boley, "Relative flatness and generalization", NeurIPS 2021, Definition 3.

    Examples
    --------
    For a linear map and the squared error κ is ``(2/n) ‖W‖² ‖x‖²``:

    >>> import torch
    >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    >>> relative_flatness(model, torch.nn.MSELoss(), (x, torch.zeros(2, 1))).value
    125.0
    """
    curvature = _on_layers(Curvature.from_arguments(model, loss, data, **options), layers)
    owner = curvature.weights.model.get_submodule
    blocks = {name: _rows(p.detach(), owner(name.rpartition(".")[0])) for name, p in _named(curvature.weights)}
    return Congruence(curvature, blocks).trace(method, max_products, target_std_error, seed)


@shows_options
def normalized_trace(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    per: str = "layer",
    layers: Iterable[str] | None = None,
    method: str = "auto",
    max_products: int | None = None,
    target_std_error: float | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> TraceEstimate:
    r"""Return the trace of the Hessian with the weights of each layer in units of their norm, ``Σ_l ‖W_l‖² tr H_l``.

    With ``per="weight"`` each weight is in units of its own value, and the result is ``Σ_i w_i² H_ii``. The result for
    single weights does not change even if single neurons are rescaled. Both results are traces of ``Cᵀ H C`` with a
    diagonal C. A diagonal rescaling D of the weights that keeps the function turns H into ``D⁻¹ H D⁻¹``. The rescaling
    turns C into ``D C`` if D is constant on each layer, or if C holds the weights themselves; then ``Cᵀ H C`` does not
    change. ``groups`` has the part of each layer, by the name of its weights.

    Parameters
    ----------
    per : {"layer", "weight"}
        Whether C has the norm of the layer's weights, or each weight itself.
    model, loss, data, layers, method, max_products, target_std_error, seed, **options
        As for `relative_flatness`, which raises the same errors.

    References
    ----------
    Tsuzuku, Sato, Sugiyama, "Normalized flat minima", ICML 2020; Kwon et al., "ASAM", ICML 2021, scale by weights.

    Examples
    --------
    >>> import torch
    >>> model, x = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    >>> data = x, torch.zeros(2, 1)
    >>> normalized_trace(model, torch.nn.MSELoss(), data).value
    125.0
    >>> normalized_trace(model, torch.nn.MSELoss(), data, per="weight").value
    73.0
    """
    if per not in ("layer", "weight"):
        raise InputError(f"per is {per!r}, expected layer or weight")
    curvature = _on_layers(Curvature.from_arguments(model, loss, data, **options), layers)
    blocks = {}
    for name, p in _named(curvature.weights):
        w = p.detach().reshape(-1, 1)
        times = partial(torch.mul, w if per == "weight" else torch.linalg.vector_norm(w))
        blocks[name] = _Block(len(w), times, times)
    return Congruence(curvature, blocks).trace(method, max_products, target_std_error, seed)


@dataclass(frozen=True, eq=False)
class _Block:
    """The matrix C for one parameter: its number of columns, and functions that multiply by C and by its transpose."""

    size: int
    push: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor], Tensor]


class Congruence:
    """``Cᵀ H C`` as a symmetric operator, for a curvature H and a C that acts on each of its parameters separately."""

    def __init__(self, curvature: Curvature, blocks: dict[str, _Block]) -> None:
        self.curvature, self.blocks = curvature, blocks
        self.sizes = [block.size for block in blocks.values()]
        self.shape = (sum(self.sizes), sum(self.sizes))
        self.dtype, self.device = curvature.dtype, curvature.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors, (p, k)."""
        blocks = self.blocks.values()
        pushed = [block.push(part) for block, part in zip(blocks, torch.split(vectors, self.sizes), strict=True)]
        products = torch.split(self.curvature @ torch.cat(pushed), self.curvature.weights.numbers)
        return torch.cat([block.pull(part) for block, part in zip(blocks, products, strict=True)])

    def trace(self, method: str, max_products: int | None, target: float | None, seed: int) -> TraceEstimate:
        """Return ``tr Cᵀ H C`` and the part of each parameter, as `operator_trace` does."""
        parts = torch.split(torch.arange(self.shape[0]), self.sizes)
        limits: dict[str, Any] = {"max_products": max_products, "target_std_error": target, "seed": seed}
        estimate = operator_trace(self, method=method, blocks=dict(zip(self.blocks, parts, strict=True)), **limits)
        return changed(estimate, of=self.curvature.of)


def _rows(p: Tensor, owner: nn.Module) -> _Block:
    """Return ``Z ↦ R Z`` with ``R Rᵀ = W Wᵀ``, where W is the matrix of weights with one row for each output.

    R is W or, if W has more columns than rows, the triangular factor of Wᵀ. In both cases αW has the factor αR, so that
    estimates from the same random vectors agree.
    """
    place = _places(p.shape, owner).to(p.device)
    W = p.reshape(-1)[place]
    groups, d, m = W.shape
    R = W if m <= d else torch.linalg.qr(W.mT.double(), mode="r").R.mT.to(W.dtype)

    def push(part: Tensor) -> Tensor:
        out = part.new_empty(p.numel(), part.shape[1])
        out[place.reshape(-1)] = (R @ part.reshape(groups, R.shape[-1], -1)).reshape(p.numel(), -1)
        return out

    def pull(part: Tensor) -> Tensor:
        rows = part[place.reshape(-1)].reshape(groups, d, -1)
        return (R.mT @ rows).reshape(-1, part.shape[1])

    return _Block(R.shape[-1] * groups * m, push, pull)


def _places(shape: torch.Size, owner: nn.Module) -> Tensor:
    """Return the position in a parameter of each weight, by group, output and input, (groups, outputs, inputs)."""
    index = torch.arange(math.prod(shape))
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        return index.reshape(shape).T[None]
    groups = owner.groups if isinstance(owner, _ConvNd) else 1
    if isinstance(owner, _ConvTransposeNd) and len(shape) > 1:
        index = index.reshape(groups, shape[0] // groups, shape[1], -1).transpose(1, 2)
        return index.reshape(groups, shape[1], -1)
    outputs = shape[0] if shape else 1
    return index.reshape(groups, outputs // groups, -1)


def _named(weights: ModelWeights) -> zip[tuple[str, nn.Parameter]]:
    return zip(weights.names, weights.tensors, strict=True)


def _on_layers(curvature: Curvature, layers: Iterable[str] | None) -> Curvature:
    """Return the diagonal block of a curvature that belongs to the weights of some layers."""
    weights = curvature.weights
    if layers is None:
        chosen = [name for name, p in _named(weights) if p.ndim > 1]
    elif not isinstance(layers, Iterable):
        raise InputError(f"layers is a {type(layers).__name__}, expected names of parameters")
    else:
        chosen = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in chosen if name not in weights.names]
        if unknown:
            raise InputError(f"layers has {unknown[0]!r}, expected names among {', '.join(weights.names)}")
    if not chosen:
        raise InputError("the model has no weights with two axes, expected some; name others by layers=[...]")
    return curvature.on(ModelWeights(weights.model, chosen))
