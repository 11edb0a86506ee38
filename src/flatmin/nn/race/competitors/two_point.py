"""Two-point random perturbation."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.nn.optimizers import TwoPoint as Wrapper
from flatmin.nn.race.competitor import Competitor, Entry
from flatmin.nn.race.task import Task

__all__ = ["TwoPoint"]


class TwoPoint(Competitor):
    """Values of the loss at ``w + σv`` and ``w − σv``, v normal, on all data: no gradient is taken, one step counts as one.

    The strength is σ over the root mean square of typical weights. It descends on ``f + (σ²/2) tr ∇²f``, with noise that
    grows with the number of weights, so its steps are as small as those with one sample.
    """

    name = "two-point"
    title = "Two-point, zeroth order"
    claims = "loss + (σ²/2) trace of the Hessian"
    source = "Ahn, Jadbabaie, Sra 2024; Zhang et al. 2025, arXiv 2506.05454"
    strength = 0.03
    unused = 1

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return descent along random directions."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        sigma = (entry.strength or 0.0) * entry.task.length
        return Wrapper(base, model, loss, sigma=sigma, seed=entry.seed)

    def unit(self, task: Task) -> float:
        """Return one over the trace: the estimate has as many times the squared norm as there are weights."""
        return 1 / task.curvature(self.size, 1)
