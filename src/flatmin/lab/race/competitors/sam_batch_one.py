"""Sharpness-aware minimization, one sample a step."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.nn.optimizers.sam import SAM as Wrapper

__all__ = ["SAMBatchOne"]


class SAMBatchOne(Competitor):
    """Gradients of one sample at ``w + ρ ∇f_i/‖∇f_i‖``, two for each step.

    The strength is ρ over the norm of natural weights. With one sample at a time it is said to make the trace of the
    Hessian small.
    """

    name = "sam-batch-one"
    title = "SAM, batch one"
    claims = "the trace of the Hessian"
    source = "Wen, Ma, Li 2022, arXiv 2211.05729"
    batch = 1
    strength = 0.02
    decays = True

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent at the worst weights nearby."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        return Wrapper(base, model, loss, rho=(entry.strength or 0.0) * entry.task.norm)
