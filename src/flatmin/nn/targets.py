"""What the losses of PyTorch expect of outputs and targets, checked before they are evaluated."""

from typing import Any

import torch
from torch import Tensor, nn

from flatmin.errors import InputError

__all__ = ["check_labels", "check_targets"]

#: Losses of outputs and targets of one shape. PyTorch broadcasts other shapes, which gives another loss.
_OF_ENTRIES = (
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCEWithLogitsLoss,
    nn.BCELoss,
    nn.PoissonNLLLoss,
)
#: Losses of outputs with an axis of classes, the second one or the only one, and of class labels.
_OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)


def check_targets(loss: Any, outputs: Any, targets: Any) -> None:
    """Raise `InputError` unless outputs and targets suit a loss module of PyTorch; other losses are not checked.

    Examples
    --------
    >>> check_targets(nn.MSELoss(), torch.zeros(8, 1), torch.zeros(8))
    Traceback (most recent call last):
    ...
    flatmin.errors.InputError: the targets have shape (8,), expected that of the outputs, (8, 1); reshape one of them
    """
    kinds = (kind for kind in (*_OF_ENTRIES, *_OF_CLASSES) if isinstance(loss, kind))
    if not any(type(loss).forward is kind.forward for kind in kinds):  # a subclass with a forward pass of its own
        return
    if not isinstance(outputs, Tensor):
        raise InputError(
            f"the model returns a {type(outputs).__name__}, expected a tensor, or an object with the tensor logits"
        )
    if not outputs.is_floating_point():
        raise InputError(f"the model returns a tensor of {outputs.dtype}, expected real floating-point numbers")
    if targets is None:
        raise InputError("the targets are missing, expected a batch (x, y), or a mapping with 'labels'")
    if not isinstance(targets, Tensor):
        raise InputError(f"the targets are a {type(targets).__name__}, expected a tensor")
    probabilities = isinstance(loss, nn.CrossEntropyLoss) and targets.ndim == outputs.ndim
    if isinstance(loss, _OF_ENTRIES) or (probabilities and targets.is_floating_point()):
        if targets.shape != outputs.shape:
            raise InputError(
                f"the targets have shape {tuple(targets.shape)}, expected that of the outputs, "
                f"{tuple(outputs.shape)}; reshape one of them"
            )
        return
    assert isinstance(loss, _OF_CLASSES)
    check_labels(outputs, targets, min(outputs.ndim - 1, 1), loss.ignore_index)


def check_labels(outputs: Tensor, labels: Any, axis: int, ignored: int) -> None:
    """Raise `InputError` unless labels are numbers of classes, or ``ignored``, one for each entry along other axes.

    Examples
    --------
    >>> check_labels(torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), 1, -100)
    Traceback (most recent call last):
    ...
    flatmin.errors.InputError: a label is 3, expected 0 to 2 for outputs with 3 classes, or -100 for targets to ignore
    """
    if not isinstance(labels, Tensor):
        raise InputError(f"the labels are a {type(labels).__name__}, expected a tensor of class numbers")
    if outputs.ndim == 0:
        raise InputError("the model returns a single number, expected outputs with an axis of classes")
    if labels.dtype not in (torch.int64, torch.uint8):
        raise InputError(f"the labels are {labels.dtype}, expected class numbers of torch.int64; call labels.long()")
    shape = tuple(size for i, size in enumerate(outputs.shape) if i != axis % outputs.ndim)
    if tuple(labels.shape) != shape:
        raise InputError(
            f"the targets have shape {tuple(labels.shape)}, expected {shape}: one class for each example or token"
        )
    classes = outputs.shape[axis]
    wrong = labels[(labels != ignored) & ((labels < 0) | (labels >= classes))] if not labels.is_meta else labels[:0]
    if wrong.numel():
        raise InputError(
            f"a label is {int(wrong.flatten()[0])}, expected 0 to {classes - 1} for outputs with {classes} classes, "
            f"or {ignored} for targets to ignore"
        )
