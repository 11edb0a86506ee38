"""Data as batches that can be read repeatedly, each with its weight in the average over all samples."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset

from flatmin.errors import InputError
from flatmin.nn.operators.square_root import known_loss, takes_logits
from flatmin.nn.operators.token_loss import LABELS, TokenCrossEntropy
from flatmin.nn.targets import check_targets

__all__ = ["Batch", "Batches", "Loss", "is_average"]

#: A function from the outputs and the targets of a batch to the average loss over its samples, a scalar tensor.
Loss = Callable[[Any, Any], Tensor]


class Batch(NamedTuple):
    """Inputs, targets, and the weight of this batch's mean loss in the average over all batches.

    A trainer's batch, a mapping with labels, has ``keywords``: its model is called as ``model(**x)``.
    """

    x: Any
    y: Any
    weight: float
    keywords: bool = False

    @classmethod
    def from_mapping(cls, batch: Mapping[str, Any], loss: Loss, needs_labels: bool = False) -> "Batch":
        """Return a trainer's batch; the model is given the labels only if it needs them for its logits."""
        if LABELS not in batch:
            found = ", ".join(map(str, batch)) or "nothing"
            raise InputError(f"a batch has {found}, expected {LABELS!r} among its entries")
        y = loss.labels_of(batch) if isinstance(loss, TokenCrossEntropy) else batch[LABELS]
        x = {name: part for name, part in batch.items() if needs_labels or name != LABELS}
        return cls(x, y, _weight(loss, x, y), True)

    @classmethod
    def from_pair(cls, x: Any, y: Any, loss: Loss) -> "Batch":
        """Return a batch of inputs and targets."""
        if y is None and takes_logits(loss):
            raise InputError("the targets are missing, expected a batch (x, y), or a mapping with 'labels'")
        return cls(x, y, _weight(loss, x, y))

    @property
    def size(self) -> int:
        """The number of samples."""
        return _samples(self.x, self.y)

    def part(self, rows: slice, loss: Loss) -> "Batch":
        """Return the batch of some samples; tensors without an entry for each sample are kept."""
        n = self.size
        x, y = tree_map(lambda t: t[rows] if isinstance(t, Tensor) and t.shape[:1] == (n,) else t, (self.x, self.y))
        return self._replace(x=x, y=y, weight=_weight(loss, x, y))

    def outputs(self, model: Callable[..., Any], loss: Loss) -> Any:
        """Return the outputs of a model as the loss takes them: the logits of an output object for known losses."""
        out = model(**self.x) if self.keywords else model(self.x)
        return out.logits if hasattr(out, "logits") and takes_logits(loss) else out


class Batches:
    """The data of a loss as batches on one device, in the same order at every reading.

    The weight of a batch is its number of samples, the length of its targets. With the weighted means of
    `torch.nn.CrossEntropyLoss`, `torch.nn.NLLLoss` and `TokenCrossEntropy` the weight is the total weight of the
    batch's targets, so that the average over batches is the loss of all data at once. The data are a pair (x, y), a
    mapping with labels, or an iterable of these that can be read repeatedly; a reading raises `InputError` if its
    samples are not those of the reading before. ``needs_labels`` keeps the labels in the arguments of the model.
    """

    def __init__(
        self, data: Any, loss: Loss, device: torch.device | None = None, *, needs_labels: bool = False
    ) -> None:
        if not callable(loss):
            raise InputError(f"loss is a {type(loss).__name__}, expected a module or a function of outputs and targets")
        reduction = getattr(loss, "reduction", "mean")
        if reduction not in ("mean", "batchmean"):
            raise InputError(f"the loss has reduction={reduction!r}, expected 'mean': the average over the samples")
        #: Whether the data are a single batch; any loss is then the loss of all samples.
        self.is_one = _is_batch(data)
        self.data = [data] if self.is_one else _readable(data)
        self.loss, self.device, self.needs_labels = loss, device, needs_labels
        self._checksum: Tensor | None = None

    def __iter__(self) -> Iterator[Batch]:
        checksum = torch.zeros(2, dtype=torch.float64)
        with _same_order(self.data):
            for i, part in enumerate(self.data):
                batch = self._batch(i, part)
                if not self.is_one:
                    checksum += _checksum(batch.x, batch.y)
                yield batch
        self._check_same(checksum)

    def mappings(self) -> Generator[Mapping[str, Any]]:
        """Yield the trainer's batches among the data, on the device."""
        with _same_order(self.data):
            for part in self.data:
                if not isinstance(part, Mapping) or not isinstance(part.get(LABELS), Tensor):
                    raise InputError(f"loss is missing, expected one, or batches that are mappings with {LABELS!r}")
                yield self._moved(dict(part))

    def _batch(self, index: int, part: Any) -> Batch:
        if isinstance(part, Mapping):
            return Batch.from_mapping(self._moved(dict(part)), self.loss, self.needs_labels)
        if not isinstance(part, tuple | list) or len(part) != 2:
            found = f"has {len(part)} entries" if isinstance(part, tuple | list) else f"is a {_name(part)}"
            raise InputError(f"batch {index} {found}, expected a pair (x, y)")
        x, y = self._moved(tuple(part))
        return Batch.from_pair(x, y, self.loss)

    def _moved(self, part: Any) -> Any:
        return tree_map(lambda leaf: leaf.to(self.device) if isinstance(leaf, Tensor) else leaf, part)

    def _check_same(self, checksum: Tensor) -> None:
        """Raise `InputError` if a reading had other samples than the one before; their order does not matter."""
        before, self._checksum = self._checksum, checksum
        if before is not None and bool((checksum - before)[0].abs() > 1e-12 * checksum[1]):
            raise InputError(
                "data gives other samples when it is read again, expected the same ones; leave out random augmentation"
            )

    def check_targets(self, batch: Batch, outputs: Any) -> None:
        """Raise `InputError` unless outputs and targets suit the loss; PyTorch would broadcast them in some losses.

        A loss that flatmin does not know may accept any shapes, if it is then an average over the samples.
        """
        loss, y = known_loss(self.loss) or self.loss, batch.y
        check_targets(loss, outputs, y)
        if _broadcast(outputs, y) and not is_average(self.loss, batch, outputs):
            raise InputError(
                f"the outputs have shape {tuple(outputs.shape)} and the targets {tuple(y.shape)}, for which the loss "
                "is not an average over samples, expected targets that are not broadcast; reshape one of them"
            )

    def check_average(self, batch: Batch, outputs: Any) -> None:
        """Raise `InputError` if the loss of a batch is not the average over its halves."""
        whole, total, slack = _by_halves(self.loss, batch, outputs)
        if abs(whole - total) > slack:
            raise InputError(
                f"the loss of a batch times its size is {whole:g} but {total:g} in two halves, expected a mean over "
                "samples; for class weights and ignored targets pass nn.CrossEntropyLoss itself"
            )


def is_average(loss: Loss, batch: Batch, outputs: Any) -> bool:
    """Return whether the loss of a batch is the average over its halves; True if the batch cannot be divided."""
    whole, total, slack = _by_halves(loss, batch, outputs)
    return abs(whole - total) <= slack


def _by_halves(loss: Loss, batch: Batch, outputs: Any) -> tuple[float, float, float]:
    """Return the loss of a batch times its weight, the same from its halves, and the largest rounding error."""
    n = batch.size
    if n < 2 or any(not isinstance(t, Tensor) or t.shape[:1] != (n,) for t in tree_leaves((outputs, batch.y))):
        return 0.0, 0.0, 0.0
    halves = [tree_map(lambda t, s=s: t[s], (outputs, batch.y)) for s in (slice(n // 2), slice(n // 2, n))]
    weights = [_weight(loss, None, y) for _, y in halves]
    if 0 in weights:
        return 0.0, 0.0, 0.0
    parts = [weight * loss(*half) for weight, half in zip(weights, halves, strict=True)]
    whole = batch.weight * loss(outputs, batch.y)
    slack = 1e4 * torch.finfo(whole.dtype).eps * max(abs(float(p)) for p in (whole, *parts))
    return float(whole), float(sum(parts)), slack


def _is_batch(data: Any) -> bool:
    if isinstance(data, tuple | list):
        return len(data) == 2 and (
            all(isinstance(part, Tensor) for part in data)
            or (isinstance(data, tuple) and not all(isinstance(part, Mapping) and LABELS in part for part in data))
        )
    return isinstance(data, Mapping)


def _readable(data: Any) -> Iterable[Any]:
    if isinstance(data, Dataset):
        raise InputError(f"data is a {_name(data)}, expected batches; wrap it: DataLoader(data, batch_size=...)")
    if isinstance(data, Iterator):
        raise InputError(f"data is a {_name(data)}, which can be read only once, expected a list or a DataLoader")
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        raise InputError(
            f"data is a {_name(data)}, expected a pair (x, y), a mapping with labels, or an iterable of these"
        )
    return data


def _checksum(x: Any, y: Any) -> Tensor:
    """Return a linear checksum of samples, independent of their order, and another of their absolute values."""
    checksum = torch.zeros(2, dtype=torch.float64)
    for leaf in tree_leaves((x, y)):
        if isinstance(leaf, Tensor) and leaf.ndim and leaf.layout == torch.strided and not leaf.is_complex():
            columns = leaf.detach().reshape(len(leaf), leaf[:1].numel()).double()
            weights = torch.arange(1, columns.shape[1] + 1, dtype=torch.float64, device=leaf.device).sqrt()
            checksum += (torch.stack([columns.sum(0), columns.abs().sum(0)]) @ weights).cpu()
    return checksum


def _broadcast(outputs: Any, y: Any) -> bool:
    """Return whether a difference of outputs and targets would have more entries than either."""
    if not isinstance(outputs, Tensor) or not isinstance(y, Tensor) or not y.is_floating_point():
        return False
    try:
        whole = math.prod(np.broadcast_shapes(outputs.shape, y.shape))
    except ValueError:
        return False
    return whole > max(outputs.numel(), y.numel())


def _samples(x: Any, y: Any) -> int:
    for leaf in tree_leaves((y, x)):
        if isinstance(leaf, Tensor) and leaf.ndim:
            return len(leaf)
    if any(type(leaf).__module__ == "numpy" for leaf in tree_leaves((y, x))):
        raise InputError("a batch holds NumPy arrays, expected tensors; convert each array with torch.from_numpy")
    raise InputError(
        "a batch has no tensor with an axis of samples, expected x and y as tensors with one row for each sample"
    )


def _weight(loss: Loss, x: Any, y: Any) -> float:
    """Return the weight of a batch: the denominator of its mean loss."""
    loss = known_loss(loss) or loss
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and isinstance(y, Tensor) and not y.is_floating_point():
        y = loss.targets(y) if isinstance(loss, TokenCrossEntropy) else y
        counted = y[y != loss.ignore_index]
        return float(len(counted) if loss.weight is None else loss.weight.to(y.device)[counted].sum())
    return float(_samples(x, y))


@contextmanager
def _same_order(data: Any) -> Iterator[None]:
    """Restore the generators with which a DataLoader shuffles, so that the next reading has the same order."""
    loader = data if isinstance(data, DataLoader) else None
    owners = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    generators = [g for g in (getattr(owner, "generator", None) for owner in owners) if g is not None]
    states = [g.get_state() for g in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _name(value: Any) -> str:
    return type(value).__name__
