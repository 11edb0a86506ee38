"""GradientCounter: the cost of training a model, in gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["GradientCounter"]


class GradientCounter:
    """A counter of the passes through a model, in units of one gradient, by hooks that leave training code unchanged.

    One backward pass on a batch of any size, with its forward pass, is one gradient: a step of gradient descent costs
    1, and a step of SAM costs 2. A forward pass alone is half a gradient. A backward pass that is itself differentiated
    (``create_graph=True``) counts as 2, so a step with a trace penalty costs 3. Copies of the model are counted too.
    The hooks cannot see whether a pass inside `torch.func.vmap` is differentiated. Such a pass counts as 1, like each
    forward pass outside `torch.no_grad` whose output needs no gradient. The output of the model must be a tensor.

    Examples
    --------
    >>> model = nn.Linear(3, 1)
    >>> counter = GradientCounter(model)
    >>> model(torch.zeros(7, 3)).sum().backward()
    >>> counter.gradients
    1.0
    """

    def __init__(self, model: nn.Module) -> None:
        self._forward = self._backward = 0.0
        self._differentiated = 0
        self._paused = False
        self._hook = model.register_forward_hook(self._count)

    @property
    def gradients(self) -> float:
        """The gradients spent so far: all backward passes, and half of the forward passes without a backward pass."""
        return self._backward + max(0.0, self._forward - self._differentiated) / 2

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside the block, where the referee evaluates the model."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __deepcopy__(self, memo: dict[int, Any]) -> GradientCounter:
        return self

    def close(self) -> None:
        """Remove the hooks from the model."""
        self._hook.remove()

    def _count(self, module: nn.Module, arguments: Any, output: Tensor) -> None:
        if self._paused:
            return
        if not output.requires_grad:
            if torch.is_grad_enabled():
                self._backward += 1
            else:
                self._forward += 1
            return
        self._forward += 1
        first = True

        def count_backward(gradient: Tensor) -> None:
            nonlocal first
            self._backward += 2 if torch.is_grad_enabled() else 1
            self._differentiated += first
            first = False

        output.register_hook(count_backward)  # type: ignore[no-untyped-call]
