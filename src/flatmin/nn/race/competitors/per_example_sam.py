"""Per-example sharpness-aware minimization."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.nn.optimizers import PerExampleSAM as Wrapper
from flatmin.nn.race.competitor import Competitor, Entry

__all__ = ["PerExampleSAM"]


class PerExampleSAM(Competitor):
    """The mean over sixteen samples of their gradients, each at its own worst weights; two for each step.

    The strength is ρ over the norm of typical weights. It is what SAM with one sample does on average, with less noise.
    Gradients of single samples in one vectorized pass count as one.
    """

    name = "per-example-sam"
    title = "SAM, per example"
    claims = "the trace of the Hessian"
    source = "Wen, Ma, Li 2022, arXiv 2211.05729"
    batch = 16
    strength = 0.01
    unused = 1

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent at each sample's worst weights."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        return Wrapper(base, model, loss, rho=(entry.strength or 0.0) * entry.task.norm)
