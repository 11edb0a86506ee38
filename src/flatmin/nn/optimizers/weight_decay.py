"""Decoupled weight decay for any optimizer."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin._core.validation import nonnegative
from flatmin.errors import InputError
from flatmin.nn.optimizers.base import Seeker

__all__ = ["WeightDecay"]


class WeightDecay(Seeker):
    """Shrink the weights before each step, ``w ← (1 − lr · decay) w``, as AdamW does.

    This form of weight decay is decoupled from the gradient. Most torch optimizers have the coupled form, which adds
    ``decay · w`` to the gradient. With plain gradient descent both forms act as the penalty ``(decay/2) ‖w‖²``.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`.
    decay : float
        The rate, in units of 1 / (learning rate × steps).
    vectors : bool
        Whether parameters with fewer than two dimensions (biases, scales of normalization layers) shrink too.

    References
    ----------
    Loshchilov, Hutter 2019, arXiv 1711.05101.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import WeightDecay
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> optimizer = WeightDecay(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, decay=0.1, vectors=False)
    """

    def __init__(
        self, base: Optimizer, model: nn.Module, loss: Any, decay: float = 0.01, *, vectors: bool = True
    ) -> None:
        super().__init__(base, model, loss)
        self.decay, self.vectors = nonnegative(decay, "decay"), bool(vectors)
        if any("lr" not in group for group in self.param_groups):
            raise InputError(f"a group of {type(base).__name__} has no lr, expected an optimizer with a learning rate")

    @torch.no_grad()
    def seek(self) -> None:
        """Shrink the weights."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and (self.vectors or p.ndim > 1):
                    p.mul_(1 - group["lr"] * self.decay)
