"""Data as batches that can be read again, with the share of each in the average over all samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset

from flatmin.errors import InputError

__all__ = ["Batch", "Batches", "Loss"]

#: What takes the predictions and the targets of a batch to a scalar: the average over the samples.
Loss = Callable[[Any, Any], Tensor]


class Batch(NamedTuple):
    """Inputs, targets, and what the mean loss of this batch weighs among those of the others."""

    x: Any
    y: Any
    weight: float

    @property
    def size(self) -> int:
        """The number of samples."""
        return _samples(self.x, self.y)


class Batches:
    """The data of a loss as batches on one device, the same ones in the same order at every reading.

    A batch counts by its number of samples, that is by the length of its targets. The weighted means of
    `torch.nn.CrossEntropyLoss` and `torch.nn.NLLLoss` count by the total weight of their targets instead, so that the
    average over batches is the loss of all data at once.

    Parameters
    ----------
    data : tuple or iterable
        One pair (x, y), or an iterable of such pairs that can be read more than once, as a DataLoader.
    loss : callable
        The loss that averages over the samples of a batch.
    device : torch.device
        Where the tensors of a batch are brought.

    Raises
    ------
    InputError
        If the data cannot be read twice, are not pairs, or if the loss does not average; at the end of a reading, if
        the samples were not those of the first one.

    Examples
    --------
    >>> import torch
    >>> batches = Batches([(torch.ones(3, 1), torch.ones(3)), (torch.ones(2, 1), torch.ones(2))], torch.nn.MSELoss())
    >>> [batch.weight for batch in batches]
    [3.0, 2.0]
    """

    def __init__(self, data: Any, loss: Loss, device: torch.device | None = None) -> None:
        if not callable(loss):
            raise InputError(f"loss is a {type(loss).__name__}, expected a module or a function of outputs and targets")
        reduction = getattr(loss, "reduction", "mean")
        if reduction not in ("mean", "batchmean"):
            raise InputError(f"the loss has reduction={reduction!r}, expected 'mean': the average over the samples")
        self.data = _readable(data)
        self.loss = loss
        self.device = device
        #: One batch is the whole data set: then any loss is the loss of all samples.
        self.is_one = isinstance(self.data, _One)
        self._mark: Tensor | None = None

    def __iter__(self) -> Iterator[Batch]:
        mark = torch.zeros(2, dtype=torch.float64)
        with _same_order(self.data):
            for i, pair in enumerate(self.data):
                if not isinstance(pair, tuple | list) or len(pair) != 2:
                    found = f"has {len(pair)} entries" if isinstance(pair, tuple | list) else f"is a {_name(pair)}"
                    raise InputError(f"batch {i} {found}, expected a pair (x, y)")
                x, y = (tree_map(self._here, part) for part in pair)
                if not self.is_one:
                    mark += _mark(x, y)
                yield Batch(x, y, _weight(self.loss, x, y))
        self._check_same(mark)

    def _check_same(self, mark: Tensor) -> None:
        """Raise `InputError` if a reading ended with other samples than the first; their order does not matter."""
        before, self._mark = self._mark, mark
        if before is not None and bool((mark - before)[0].abs() > 1e-12 * mark[1]):
            raise InputError(
                "data gives other samples when it is read again, expected the same ones; leave out random augmentation"
            )

    def _here(self, leaf: Any) -> Any:
        return leaf.to(self.device) if isinstance(leaf, Tensor) else leaf

    def check_average(self, batch: Batch, outputs: Any) -> None:
        """Raise `InputError` if the loss of a batch is not the average of the losses of its halves.

        Weighted means that this class does not know, sums, and losses that compare samples with each other would give
        an answer that depends on how the data happen to be cut into batches.
        """
        n = batch.size
        if n < 2 or any(not isinstance(t, Tensor) or t.shape[:1] != (n,) for t in tree_leaves((outputs, batch.y))):
            return
        halves = [tree_map(lambda t, s=s: t[s], (outputs, batch.y)) for s in (slice(n // 2), slice(n // 2, n))]
        weights = [_weight(self.loss, None, y) for _, y in halves]
        if 0 in weights:
            return
        parts = [weight * self.loss(*half) for weight, half in zip(weights, halves, strict=True)]
        whole, total = batch.weight * self.loss(outputs, batch.y), sum(parts)
        size = max(abs(float(p)) for p in (whole, *parts))
        if abs(float(whole - total)) > 1e4 * torch.finfo(whole.dtype).eps * size:
            raise InputError(
                f"the loss of a batch times its size is {float(whole):g} but {float(total):g} in two halves, expected "
                "a mean over samples; for class weights and ignored targets pass nn.CrossEntropyLoss itself"
            )


class _One(list[Any]):
    """Data that are a single batch."""


def _readable(data: Any) -> Iterable[Any]:
    if isinstance(data, tuple) and len(data) == 2:
        return _One([data])
    if isinstance(data, list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        return _One([tuple(data)])
    if isinstance(data, Dataset):
        raise InputError(f"data is a {_name(data)}, expected batches; wrap it: DataLoader(data, batch_size=...)")
    if isinstance(data, Iterator):
        raise InputError(f"data is a {_name(data)}, which can be read only once, expected a list or a DataLoader")
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        raise InputError(f"data is a {_name(data)}, expected a pair (x, y) or an iterable of such pairs")
    return data


def _mark(x: Any, y: Any) -> Tensor:
    """Return a number to which samples add up in any order, if they are the same, and the sum of the sizes added."""
    mark = torch.zeros(2, dtype=torch.float64)
    for leaf in tree_leaves((x, y)):
        if isinstance(leaf, Tensor) and leaf.ndim and leaf.layout == torch.strided and not leaf.is_complex():
            columns = leaf.detach().reshape(len(leaf), leaf[:1].numel()).double()
            weights = torch.arange(1, columns.shape[1] + 1, dtype=torch.float64, device=leaf.device).sqrt()
            mark += (torch.stack([columns.sum(0), columns.abs().sum(0)]) @ weights).cpu()
    return mark


def _samples(x: Any, y: Any) -> int:
    for leaf in tree_leaves((y, x)):
        if isinstance(leaf, Tensor) and leaf.ndim:
            return len(leaf)
    raise InputError("a batch has no tensor with a first axis, expected samples along it")


def _weight(loss: Loss, x: Any, y: Any) -> float:
    """Return the weight of a batch: the denominator of its mean, up to a factor common to all batches."""
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and isinstance(y, Tensor) and not y.is_floating_point():
        counted = y[y != loss.ignore_index]
        return float(len(counted) if loss.weight is None else loss.weight.to(y.device)[counted].sum())
    return float(_samples(x, y))


@contextmanager
def _same_order(data: Any) -> Iterator[None]:
    """Give back the state of the generators that a DataLoader shuffles with: the next reading repeats this one."""
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
