"""Two-point random perturbation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.task import Objective, Task

__all__ = ["TwoPoint"]


class TwoPoint(Competitor):
    """Values of the loss at ``w + σv`` and ``w − σv``, v normal, on all data, one gradient's worth for each step.

    The strength is σ over the root mean square of natural weights. It descends on ``f + (σ²/2) tr ∇²f``, with noise
    that grows with the number of weights, so its steps are as small as those with one sample. The steps are those of
    `flatmin.nn.TwoPoint`, without the gradient that its training loop makes and throws away.
    """

    name = "two-point"
    title = "Two-point, zeroth order"
    claims = "loss + (σ²/2) trace of the Hessian"
    source = "Ahn, Jadbabaie, Sra 2024; Zhang et al. 2025, arXiv 2506.05454"
    strength = 0.1
    decays = True

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return a function whose gradient is the slope along a random direction, times that direction."""
        sigma = (entry.strength or 0.0) * entry.task.length
        generator = torch.Generator().manual_seed(entry.seed)
        parameters = dict(model.named_parameters())

        def value(x: Any, y: Tensor, spent: float) -> Tensor:
            v = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in parameters.items()}
            with torch.no_grad():
                above = loss(functional_call(model, {n: p + sigma * v[n] for n, p in parameters.items()}, (x,)), y)
                below = loss(functional_call(model, {n: p - sigma * v[n] for n, p in parameters.items()}, (x,)), y)
                slope = (above - below) / (2 * sigma)
            return torch.stack([(slope * v[n] * p).sum() for n, p in parameters.items()]).sum()

        return value

    def unit(self, task: Task) -> float:
        """Return one over the trace: the estimate has as many times the squared norm as there are weights."""
        return 1 / task.curvature(self.size, 1)
