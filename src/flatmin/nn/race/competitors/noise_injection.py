"""Symmetric noise injection."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.nn.optimizers import NoiseInjection as Wrapper
from flatmin.nn.race.competitor import Competitor, Entry

__all__ = ["NoiseInjection"]


class NoiseInjection(Competitor):
    """The mean of gradients at ``w + σv`` and ``w − σv``, v normal, on all data, two for each step.

    The strength is σ over the root mean square of typical weights. It descends on ``f + (σ²/2) tr ∇²f``.
    """

    name = "noise-injection"
    title = "Symmetric noise injection"
    claims = "loss + (σ²/2) trace of the Hessian"
    source = "Zhang, Li, Ju 2024, arXiv 2306.08553 (NSO)"
    strength = 0.1
    unused = 1

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent on the smoothed loss."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        sigma = (entry.strength or 0.0) * entry.task.length
        return Wrapper(base, model, loss, sigma=sigma, seed=entry.seed)
