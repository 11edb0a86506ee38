"""Weight decay."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.nn.optimizers.weight_decay import WeightDecay as Wrapper

__all__ = ["WeightDecay"]


class WeightDecay(Competitor):
    """Gradient descent on all data, with weights that shrink.

    The strength s is ``(decay/2) ‖natural weights‖² / (loss of a model that answers nothing)``. It minimises the loss
    plus the squared norm of the weights: of a product, the nuclear norm of the matrix.
    """

    name = "weight-decay"
    title = "Weight decay"
    claims = "the norm of the weights"
    source = "Srebro, Rennie, Jaakkola 2005"
    strength = 0.15

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent with decay."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        decay = 2 * (entry.strength or 0.0) * entry.task.height / entry.task.norm**2
        return Wrapper(base, model, loss, decay=decay)
