"""Adam."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.task import Task

__all__ = ["Adam"]


class Adam(Competitor):
    """Adam on all data; its steps have a length, in units of a natural weight, and fall to zero.

    Its geometry is that of the coordinates: nothing is claimed for flatness.
    """

    name = "adam"
    title = "Adam"
    claims = "the loss, in a geometry of coordinates"
    source = "Kingma, Ba 2015"
    steps = (0.004, 0.4)
    decays = True

    def unit(self, task: Task) -> float:
        """Return the length of a natural weight."""
        return task.length

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return torch's Adam."""
        return torch.optim.Adam(model.parameters(), lr=entry.step_size)
