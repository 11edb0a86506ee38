"""Sharpness-aware minimization on all data."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.nn.optimizers.sam import SAM as Wrapper

__all__ = ["SAM"]


class SAM(Competitor):
    """Gradients at ``w + ρ ∇f/‖∇f‖``, on all data, two for each step.

    The strength is ρ over the norm of natural weights. With all data at once it is said to make the largest eigenvalue
    of the Hessian small, not the trace.
    """

    name = "sam"
    title = "SAM, full batch"
    claims = "the largest eigenvalue of the Hessian"
    source = "Foret et al. 2021; Wen, Ma, Li 2022, arXiv 2211.05729"
    strength = 0.02
    decays = True

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent at the worst weights nearby."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        return Wrapper(base, model, loss, rho=(entry.strength or 0.0) * entry.task.norm)
