"""Scaled gradient descent."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.factored_task import FactoredTask
from flatmin.lab.race.task import Task
from flatmin.nn.optimizers.scaled_gradient import ScaledGradient as Wrapper
from flatmin.parametrizations import Chain, Hadamard

__all__ = ["ScaledGradient"]


class ScaledGradient(Competitor):
    """Gradients of each factor times the inverse Gram matrix of its partner, ``(QᵀQ + ε)⁻¹``, on all data.

    It begins with small weights. The strength is ε over the square of a natural weight, times the smaller dimension.
    Its speed does not depend on the condition of the matrix; for factored models only.
    """

    name = "scaled-gradient"
    title = "Scaled gradient descent"
    claims = "the loss, at a speed free of conditioning"
    source = "Tong, Ma, Chi 2021; Xu, Shen, Chi, Ma 2023"
    size = "small"
    steps = (1 / 32, 1.0)
    strength = 1.0

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent in the metric of the factors."""
        base = torch.optim.SGD(model.parameters(), lr=entry.step_size)
        assert isinstance(entry.task, FactoredTask)
        damping = (entry.strength or 0.0) * entry.task.length**2 * min(entry.task.problem.shape)
        return Wrapper(base, model, loss, damping=damping)

    def objection(self, task: Task) -> str | None:
        """Return that factors are needed, where there are none."""
        if not isinstance(task, FactoredTask) or isinstance(task.problem.parametrization, Hadamard | Chain):
            return "the model is not a product of two factors"
        return super().objection(task)

    def unit(self, task: Task) -> float:
        """Return one over the curvature of the loss as a function of the matrix."""
        assert isinstance(task, FactoredTask)
        return 1 / task.matrix_curvature
