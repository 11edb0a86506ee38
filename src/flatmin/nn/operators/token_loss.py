"""Losses of language models: the mean cross entropy of counted tokens, and the loss that a model computes itself."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from flatmin.errors import InputError
from flatmin.nn.operators.state import FAILURES
from flatmin.nn.targets import check_labels

__all__ = ["LABELS", "OwnLoss", "TokenCrossEntropy", "own_loss"]

#: Entry of a batch that holds the targets; trainers of language models agree on this name.
LABELS = "labels"
#: Largest relative difference between the loss of a model and the same loss computed from its logits.
_TOLERANCE = 1e-3


class TokenCrossEntropy(nn.CrossEntropyLoss):
    """The mean cross entropy of the counted tokens of a batch of sequences.

    Outputs are logits of shape (n, length, classes), or an object that has them as ``logits``; labels are whole numbers
    of shape (n, length). With ``shift`` the logits at a position predict the label at the next position, as in
    causal language models. The loss of data in several batches is the mean over all counted tokens, so that a batch
    counts by its tokens and not by its sequences.

    Parameters
    ----------
    shift : bool
        Whether logits predict the next label; False for labels of the tokens themselves.
    ignore_index : int
        Label of tokens that do not count, such as padding.
    mask : str, optional
        Entry of a batch, shape (n, length), that is 0 at tokens that do not count, for instance ``"attention_mask"``.
        It is used if batches are mappings.
    weight, label_smoothing
        As for `torch.nn.CrossEntropyLoss`.

    Examples
    --------
    >>> import torch
    >>> logits, labels = torch.zeros(1, 3, 4), torch.tensor([[1, 2, -100]])
    >>> TokenCrossEntropy()(logits, labels).exp()  # one counted token of four equally likely ones
    tensor(4.)
    """

    def __init__(
        self,
        *,
        shift: bool = True,
        ignore_index: int = -100,
        mask: str | None = None,
        weight: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)
        self.shift, self.mask = shift, mask

    def forward(self, outputs: Any, labels: Tensor) -> Tensor:
        """Return the mean loss of the counted tokens, a scalar tensor."""
        logits = getattr(outputs, "logits", outputs)
        if not isinstance(logits, Tensor):
            raise InputError(
                f"the model returns a {type(logits).__name__}, expected a tensor of logits or an object with them"
            )
        check_labels(logits, labels, -1, self.ignore_index)
        return super().forward(logits.flatten(0, -2), self.targets(labels).flatten())

    def targets(self, labels: Tensor) -> Tensor:
        """Return the label that the logits at each position predict."""
        if not self.shift:
            return labels
        last = labels.new_full((*labels.shape[:-1], 1), self.ignore_index)
        return torch.cat([labels[..., 1:], last], -1)

    def labels_of(self, batch: Mapping[str, Any]) -> Any:
        """Return the labels of a batch, with ``ignore_index`` where its mask is 0."""
        labels = batch[LABELS]
        if self.mask is None:
            return labels
        if self.mask not in batch:
            raise InputError(f"the batch has no {self.mask!r}, expected the mask of counted tokens")
        return labels.masked_fill(batch[self.mask].to(labels.device) == 0, self.ignore_index)


class OwnLoss:
    """Stands for the loss that a model computes from the labels in its batch, until a batch shows which one it is."""

    def __call__(self, outputs: Any, labels: Any) -> Tensor:
        """Raise `InputError`: no batch has shown the loss."""
        raise InputError("the model's own loss is unknown, expected a batch with a label that counts")


def own_loss(model: Callable[..., Any], batches: Iterable[Mapping[str, Any]]) -> tuple[Any, bool]:
    """Return the loss that a model computes itself, as a function of logits and labels.

    The loss and its derivative in the logits are compared with those of five losses on one sequence: cross entropy of
    next tokens, of tokens and of whole sequences, squared error, and binary cross entropy.

    Returns
    -------
    loss : module
        The loss that agrees, or `OwnLoss` if no batch has a label that counts.
    needs_labels : bool
        Whether the model needs labels for the same logits, as encoder-decoder models do.

    Raises
    ------
    InputError
        If the model returns no ``loss`` and ``logits`` for its labels, or none of the losses agrees.
    """
    for batch in batches:
        labels = batch[LABELS]
        counted = (labels != TokenCrossEntropy().ignore_index).reshape(len(labels), -1).sum(1)
        if counted.any():
            return _recognised(model, _sequence(dict(batch), int(counted.argmax())))
    return OwnLoss(), True


def _sequence(batch: dict[str, Any], i: int) -> dict[str, Any]:
    n = len(batch[LABELS])
    cut = tree_map(lambda t: t[i : i + 1] if isinstance(t, Tensor) and t.shape[:1] == (n,) else t, batch)
    return dict(cut)


def _recognised(model: Callable[..., Any], batch: dict[str, Any]) -> tuple[nn.Module, bool]:
    outputs, labels = model(**batch), batch[LABELS]
    logits, value = (getattr(outputs, name, None) for name in ("logits", "loss"))
    if not isinstance(logits, Tensor) or not isinstance(value, Tensor):
        raise InputError(
            f"the model returns a {type(outputs).__name__} for a batch with labels, expected an object with loss and "
            "logits; otherwise pass loss=, a function of outputs and labels"
        )
    for loss in _candidates(logits, labels):
        base = logits.detach().requires_grad_()
        try:
            same = _same(loss(base, labels), value)
        except FAILURES:
            continue
        if same and _same(*_slopes((loss(base, labels), base), (value, logits))):
            return loss, not _same(_without_labels(model, batch), logits)
    raise InputError(
        "the model's own loss is no mean of cross entropies or squared errors of its logits and labels, expected one; "
        "pass loss=, a function of outputs and labels"
    )


def _candidates(logits: Tensor, labels: Tensor) -> list[nn.Module]:
    if labels.shape == logits.shape:
        return [nn.MSELoss(), nn.BCEWithLogitsLoss()]
    return [nn.CrossEntropyLoss()] if labels.ndim == 1 else [TokenCrossEntropy(), TokenCrossEntropy(shift=False)]


def _slopes(*pairs: tuple[Tensor, Tensor]) -> list[Tensor | None]:
    return [torch.autograd.grad(value, base, retain_graph=True, allow_unused=True)[0] for value, base in pairs]


def _without_labels(model: Callable[..., Any], batch: dict[str, Any]) -> Tensor | None:
    try:
        with torch.no_grad():
            return getattr(model(**{name: part for name, part in batch.items() if name != LABELS}), "logits", None)
    except FAILURES:
        return None


def _same(found: Tensor | None, wanted: Tensor | None) -> bool:
    if found is None or wanted is None or found.shape != wanted.shape:
        return False
    slack = _TOLERANCE * torch.linalg.vector_norm(wanted.detach())
    return bool(torch.linalg.vector_norm((found - wanted).detach()) <= slack)
