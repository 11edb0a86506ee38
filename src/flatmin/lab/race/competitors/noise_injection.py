"""Symmetric noise injection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.task import Objective

__all__ = ["NoiseInjection"]


class NoiseInjection(Competitor):
    """The mean of gradients at ``w + σv`` and ``w − σv``, v normal, on all data, two for each step.

    The strength is σ over the root mean square of natural weights. It descends on ``f + (σ²/2) tr ∇²f``. The steps are
    those of `flatmin.nn.NoiseInjection`, without the gradient at w that its training loop makes and throws away.
    """

    name = "noise-injection"
    title = "Symmetric noise injection"
    claims = "loss + (σ²/2) trace of the Hessian"
    source = "Zhang, Li, Ju 2024, arXiv 2306.08553 (NSO)"
    strength = 0.4
    decays = True

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return the mean loss at two points on either side of the weights."""
        sigma = (entry.strength or 0.0) * entry.task.length
        generator = torch.Generator().manual_seed(entry.seed)
        parameters = dict(model.named_parameters())

        def value(x: Any, y: Tensor, spent: float) -> Tensor:
            v = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in parameters.items()}
            above = loss(functional_call(model, {n: p + sigma * v[n] for n, p in parameters.items()}, (x,)), y)
            below = loss(functional_call(model, {n: p - sigma * v[n] for n, p in parameters.items()}, (x,)), y)
            return torch.as_tensor((above + below) / 2)

        return value
