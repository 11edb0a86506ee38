"""Division of batches into pieces of few samples, so that the computations of a piece fit in memory."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_leaves

from flatmin.errors import InputError
from flatmin.nn.operators.streaming import Batch, Loss, is_average

__all__ = ["Pieces", "mean_over", "nearly_equal"]

#: Largest memory, in bytes, that a forward pass may keep for the reverse pass; larger batches are divided.
_GRAPH_MEMORY = 1 << 30
#: Number of entries that are compared at once.
_COMPARED_AT_ONCE = 1 << 20
#: Runs a function of a model and its weights.
Runner = Callable[[Callable[[nn.Module, list[Tensor]], Any]], Any]


class Pieces:
    """The pieces in which a model and a loss see each batch: the whole batch, or few samples at a time.

    The first batch is evaluated to count the bytes that PyTorch keeps for the reverse pass. A batch that would keep too
    many is divided, if the outputs of its samples do not depend on each other and the loss is an average over samples.
    Unless ``repeatable``, the first batch is evaluated once more to test whether the model is a function of its inputs.
    """

    def __init__(self, loss: Loss, repeatable: bool = False) -> None:
        self.loss, self.repeatable = loss, repeatable
        self._bytes_per_number: float | None = None
        self._separable: bool | None = None

    def __call__(self, index: int, batch: Batch, run: Runner) -> Iterator[Batch]:
        """Yield the pieces of batch number ``index`` that have weight; ``run`` evaluates functions of the model."""
        if self._bytes_per_number is None:
            saved = [0]
            first = run(partial(_outputs, batch, self.loss, saved))
            if not self.repeatable:
                _check_repeatable(index, run(partial(_outputs, batch, self.loss, None)), first)
            self._bytes_per_number = saved[0] / max(_numbers(batch), 1)
            del first
        wanted = self._bytes_per_number * _numbers(batch) / _GRAPH_MEMORY
        if wanted <= 1 or batch.size < 2:
            yield batch
            return
        size = max(1, int(batch.size / wanted))
        if self._separable is None:
            self._separable = self._separates(batch, size, run)
        if not self._separable:
            yield batch
            return
        for start in range(0, batch.size, size):
            piece = batch.part(slice(start, start + size), self.loss)
            if piece.weight:
                yield piece

    def _separates(self, batch: Batch, size: int, run: Runner) -> bool:
        """Return whether a piece has the outputs that its samples have in the whole batch, and the loss averages.

        The second piece is compared, because random masks of the first one would be those of the whole batch.
        """
        if any(not isinstance(t, Tensor) or t.shape[:1] != (batch.size,) for t in tree_leaves(batch.y)):
            return False
        whole = run(partial(_outputs, batch, self.loss, None))
        leaves = tree_leaves(whole)
        if any(not isinstance(t, Tensor) or t.shape[:1] != (batch.size,) for t in leaves):
            return False
        rows = slice(size, 2 * size)
        try:
            piece = run(partial(_outputs, batch.part(rows, self.loss), self.loss, None))
        except InputError:
            return False
        pairs = zip(tree_leaves(piece), leaves, strict=True)
        with torch.no_grad():
            return all(nearly_equal(t, w[rows]) for t, w in pairs) and is_average(self.loss, batch, whole)


def mean_over(
    pieces: list[Batch], function: Callable[[Batch], Tensor], parameters: list[nn.Parameter], differentiable: bool
) -> Tensor:
    """Return the weighted mean of a function of batches over pieces, differentiated one after the other.

    If ``differentiable``, the result carries its derivative in the parameters, and no graph of a piece is kept.
    """
    if len(pieces) == 1:
        return function(pieces[0])
    total, value = sum(piece.weight for piece in pieces), torch.zeros((), dtype=torch.float64)
    gradients: list[Tensor | None] = [None] * len(parameters)
    for piece in pieces:
        part = function(piece) * (piece.weight / total)
        value += float(part.detach())
        if differentiable and part.requires_grad:
            for i, g in enumerate(torch.autograd.grad(part, parameters, allow_unused=True)):
                if g is not None:
                    gradients[i] = g if gradients[i] is None else gradients[i].add_(g)  # type: ignore[union-attr]
        del part
    result = value.to(parameters[0])
    return _WithGradient.apply(result, gradients, *parameters) if differentiable else result  # type: ignore[no-untyped-call]


class _WithGradient(torch.autograd.Function):
    """A number with known derivatives in some parameters."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if g is None else cotangent * g for g in ctx.gradients)


def nearly_equal(found: Tensor, wanted: Tensor) -> bool:
    """Return whether two results agree up to rounding errors; entries that are not finite count as equal."""
    if found.shape != wanted.shape:
        return False
    difference = size = 0.0
    flat = (torch.split(t.detach().reshape(-1), _COMPARED_AT_ONCE) for t in (found, wanted))
    for a, b in zip(*flat, strict=True):
        a, b = a.nan_to_num(0, 0, 0), b.nan_to_num(0, 0, 0)
        difference += float(torch.linalg.vector_norm(a - b)) ** 2
        size += float(torch.linalg.vector_norm(b)) ** 2
    return bool(difference <= torch.finfo(found.dtype).eps * size)


def _numbers(batch: Batch) -> int:
    return sum(t.numel() for t in tree_leaves((batch.x, batch.y)) if isinstance(t, Tensor))


def _outputs(batch: Batch, loss: Loss, saved: list[int] | None, model: nn.Module, leaves: list[Tensor]) -> Any:
    """Return the outputs of a batch; count in ``saved[0]`` the bytes that a reverse pass would keep.

    Models that differentiate in their forward pass keep them in any case; for these the count is 0.
    """
    if saved is None:
        with torch.no_grad():
            return batch.outputs(model, loss)
    weights = {leaf.untyped_storage().data_ptr() for leaf in leaves if leaf.device.type != "meta"}

    def count(tensor: Tensor) -> None:
        if tensor.device.type != "meta" and tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                saved[0] += min(storage.nbytes(), tensor.numel() * tensor.element_size())

    try:
        with torch.autograd.graph.saved_tensors_hooks(count, _lost):
            return batch.outputs(model, loss)
    except _LostError:
        saved[0] = 0
        return batch.outputs(model, loss)


class _LostError(Exception):
    """A model differentiates within its forward pass, and needs what was counted and not kept."""


def _lost(packed: None) -> Tensor:
    raise _LostError


def _check_repeatable(index: int, first: Any, second: Any) -> None:
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    if not all(nearly_equal(b, a) for a, b in pairs if isinstance(a, Tensor) and a.is_floating_point()):
        raise InputError(
            f"batch {index}: the model gives different outputs when it is called again, expected the same; only "
            "PyTorch's global random numbers are repeated"
        )
