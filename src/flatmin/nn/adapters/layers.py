"""Low-rank adapters ``W = W0 + s B A``: a plain layer, and the search for adapters of any library in a model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatmin._core.validation import real_number, shown, whole_number
from flatmin.errors import InputError
from flatmin.nn.operators.state import unwrapped

__all__ = ["Adapter", "LowRankAdapter", "find_adapters"]

#: Names of the two factors (A, B) in layers of other libraries; PEFT has those of linear layers and of embeddings.
_FACTORS = (("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B"), ("A", "B"))
#: Names of the frozen layer or weight in an adapted layer, and of the factor s.
_BASES, _SCALES = ("base_layer", "base", "linear", "W0", "weight"), ("scaling", "scale")
#: Prefix of all names in a model of PEFT, which its own settings leave out.
_PEFT_PREFIX = "base_model.model."


class LowRankAdapter(nn.Module):
    """A frozen linear layer with a trainable update of low rank: ``y = (W0 + s B A) x + bias``.

    A, (rank, inputs), is Gaussian with standard deviation 1/√inputs, and B, (outputs, rank), is zero, so that the first
    outputs are those of the frozen layer. The parameters of the frozen layer get ``requires_grad=False``.

    Parameters
    ----------
    base_layer : torch.nn.Linear
        The layer to adapt.
    rank : int
        The rank of the update.
    scale : float
        The factor s.
    seed : int
        Seed of A.

    References
    ----------
    Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, arXiv 2106.09685.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> adapter = nn.LowRankAdapter(torch.nn.Linear(6, 4), rank=2)
    >>> [(name, tuple(p.shape)) for name, p in adapter.named_parameters() if p.requires_grad]
    [('A', (2, 6)), ('B', (4, 2))]
    """

    def __init__(self, base_layer: nn.Linear, rank: int, scale: float = 1.0, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(base_layer, nn.Linear):
            raise InputError(f"base_layer is a {type(base_layer).__name__}, expected a torch.nn.Linear")
        whole_number(rank, "rank", 1)
        if not math.isfinite(real_number(scale)):
            raise InputError(f"scale is {shown(scale)}, expected a finite number")
        self.base_layer, self.scale = base_layer.requires_grad_(False), real_number(scale)
        like, generator = base_layer.weight, torch.Generator().manual_seed(whole_number(seed, "seed", 0))
        first = torch.randn(rank, base_layer.in_features, generator=generator) / base_layer.in_features**0.5
        self.A = nn.Parameter(first.to(like))
        self.B = nn.Parameter(like.new_zeros(base_layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs x, (..., inputs)."""
        out: Tensor = self.base_layer(x) + self.scale * nn.functional.linear(nn.functional.linear(x, self.A), self.B)
        return out

    def extra_repr(self) -> str:
        """Return rank and scale, for ``print(adapter)``."""
        return f"rank={len(self.A)}, scale={self.scale:g}"


@dataclass(frozen=True, eq=False)
class Adapter:
    """One adapter of a model: the frozen weight W0, the factors A, (r, ...), and B, (outputs, r, ...), and the scale s.

    ``name`` is the path of the adapted layer, without the prefix of a PEFT model; if the layer has several active
    adapters, the label of this one follows. ``layer`` is the path alone, and ``label`` PEFT's name of the adapter, None
    for other libraries. If ``transposed``, the weight holds the transpose of ``W0``, as in embeddings. If
    ``rank_stabilized`` (PEFT's ``use_rslora``), the scale is ``alpha / √r`` and not ``alpha / r``.
    """

    name: str
    weight: nn.Parameter
    A: nn.Parameter
    B: nn.Parameter
    scale: float
    transposed: bool = False
    layer: str = ""
    label: str | None = None
    rank_stabilized: bool = False

    @property
    def rank(self) -> int:
        """The number r of columns of B."""
        return len(self.A)

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        """The tensors A, B and W0."""
        return self.A, self.B, self.weight

    def alpha(self, rank: int) -> float:
        """Return PEFT's ``lora_alpha`` with which an adapter of some rank has the scale of this one."""
        return float(self.scale * (rank**0.5 if self.rank_stabilized else rank))

    def in_weight(self, gradient: Tensor) -> Tensor:
        """Return a gradient in the weight as a matrix, (outputs, inputs), with the shape of ``B A``."""
        flat = gradient.reshape(len(gradient), -1)
        return flat.mT if self.transposed else flat

    def update(self) -> Tensor:
        """Return ``s B A`` as a matrix, (outputs, inputs), in double precision."""
        return self.scale * self.B.detach().double().flatten(1) @ self.A.detach().double().flatten(1)


def find_adapters(model: nn.Module) -> list[Adapter]:
    """Return all active adapters of a model, in the order of its modules.

    An adapted layer is a `LowRankAdapter`, a layer of PEFT, or any module with factors ``lora_A`` and ``lora_B`` or
    ``A`` and ``B`` (parameters, or layers with a weight, or mappings from names to these), a number ``scaling`` or
    ``scale``, and a frozen layer ``base_layer`` or ``base``. Layers without an active adapter are omitted.

    Raises
    ------
    InputError
        If the model has no adapter, or an adapter is merged into the weights.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}, expected a torch.nn.Module with adapters")
    found = [adapter for name, module in unwrapped(model).named_modules() for adapter in _adapters(name, module)]
    if not found:
        raise InputError(
            "the model has no low-rank adapter, expected layers with factors lora_A and lora_B, or A and B"
        )
    return found


def _adapters(name: str, module: nn.Module) -> Iterator[Adapter]:
    name = name.removeprefix(_PEFT_PREFIX) or "model"
    base: Any = next((b for b in (getattr(module, key, None) for key in _BASES) if b is not None), None)
    while hasattr(base, "base_layer"):  # adapters of two kinds around one layer
        base = base.base_layer
    weight = base if isinstance(base, Tensor) else getattr(base, "weight", None)
    if not isinstance(weight, Tensor):
        return
    for first, second in _FACTORS:
        lefts, rights = _by_label(getattr(module, second, None)), _by_label(getattr(module, first, None))
        active = getattr(module, "active_adapters", None) or list(rights)
        labels = [label for label in active if label in lefts and label in rights]
        for label in labels:
            if not isinstance(weight, nn.Parameter):
                raise InputError(
                    f"the frozen weight of {name} is a plain tensor or a buffer, expected an nn.Parameter with "
                    "requires_grad=False"
                )
            if getattr(module, "merged", False):
                raise InputError(f"the adapter of {name} is merged into the weights, expected adapters by themselves")
            A, B = rights[label], lefts[label]
            if A.ndim < 2 or B.ndim < 2 or len(A) != B.shape[1]:
                shapes = f"{tuple(A.shape)} and {tuple(B.shape)}"
                raise InputError(f"the factors of {name} have shapes {shapes}, expected A (r, ...) and B (outputs, r)")
            transposed = "embedding" in first or bool(getattr(module, "fan_in_fan_out", False))
            whole = name if len(labels) == 1 else f"{name}.{label}"
            rooted = getattr(module, "use_rslora", {})
            rooted = bool(rooted.get(label) if isinstance(rooted, Mapping) else rooted)
            yield Adapter(whole, weight, A, B, _scale(module, label), transposed, name, label, rooted)


def _by_label(factor: Any) -> dict[Any, nn.Parameter]:
    """Return the factors of a layer by the names of its adapters; None is the name of the only one."""
    if isinstance(factor, nn.ModuleDict | nn.ParameterDict | Mapping):
        return {label: p for label in factor for p in _by_label(factor[label]).values()}
    weight = factor if isinstance(factor, nn.Parameter) else getattr(factor, "weight", None)
    return {None: weight} if isinstance(weight, nn.Parameter) else {}


def _scale(module: nn.Module, label: Any) -> float:
    for key in _SCALES:
        scale = getattr(module, key, None)
        scale = scale.get(label) if isinstance(scale, Mapping) else scale
        if scale is not None:
            return float(scale)
    return 1.0
