"""Label noise."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.nn.optimizers.label_noise import LabelNoise as Wrapper

__all__ = ["LabelNoise"]


class LabelNoise(Competitor):
    """Gradient descent on sixteen samples a step, with fresh noise on their targets.

    The strength is the standard deviation of the noise over the root mean square of the targets; for class numbers the
    probability of a random class. On the zero-loss set the noise moves weights against the gradient of the trace,
    like a penalty of strength η σ²/(2 B) on the Hessian trace, for steps η and B samples.
    """

    name = "label-noise"
    title = "Label noise"
    claims = "the trace of the Hessian on the zero-loss set"
    source = "Blanc et al. 2020; Damian, Ma, Lee 2021; Li, Wang, Arora 2021"
    batch = 16
    strength = 0.7
    decays = True

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent that sees noisy targets."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        return Wrapper(base, model, loss, noise=(entry.strength or 0.0) * entry.task.noise_unit, seed=entry.seed)
