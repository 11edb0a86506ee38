"""The counter of a race: what a model was asked to compute, in gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Tally"]


class Tally:
    """Counts the passes through a model while it is trained, by hooks that the trainer does not see.

    One backward pass on a batch of any size, with its forward pass, is one gradient. So a step of gradient descent
    costs 1 and one of SAM 2. A forward pass without a backward pass is half of one: two function evaluations cost 1. A
    backward pass that is differentiated in its turn (``create_graph=True``) counts as 2, as its derivative is a second
    pass through it: a step with a trace penalty costs 3. Copies of the model count as well. What becomes of a pass
    inside `torch.func.vmap` cannot be seen, so it counts as 1, and so does any other forward pass that might have been
    differentiated: only under `torch.no_grad` it is half of one.

    Parameters
    ----------
    model : Module
        What is trained; its output is a tensor.

    Attributes
    ----------
    gradients : float
        What was spent.
    samples : int
        How many samples went through backward passes.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> tally = Tally(model)
    >>> model(torch.zeros(7, 3)).sum().backward()
    >>> tally.gradients, tally.samples
    (1.0, 7)
    """

    def __init__(self, model: nn.Module) -> None:
        self.samples = 0
        self._forward = self._backward = 0.0
        self._turned = 0
        self._paused = False
        self._hook = model.register_forward_hook(self._passed)

    @property
    def gradients(self) -> float:
        """What was spent so far: the backward passes, and half of the forward passes that had none."""
        return self._backward + max(0.0, self._forward - self._turned) / 2

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside the block, where the referee looks at the model."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Tally:
        return self

    def close(self) -> None:
        """Take the hooks off the model."""
        self._hook.remove()

    def _passed(self, module: nn.Module, arguments: Any, output: Tensor) -> None:
        if self._paused:
            return
        if not output.requires_grad:
            if torch.is_grad_enabled():
                self._backward += 1
                self.samples += len(output)
            else:
                self._forward += 1
            return
        self._forward += 1
        size, returned = len(output), False

        def returning(gradient: Tensor) -> None:
            nonlocal returned
            self._backward += 2 if torch.is_grad_enabled() else 1
            self.samples += size
            self._turned += not returned
            returned = True

        output.register_hook(returning)  # type: ignore[no-untyped-call]
