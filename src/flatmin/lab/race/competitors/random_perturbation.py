"""Descent on the loss at ``w + σv`` and ``w − σv`` with random v: noise injection, and its zeroth-order version."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.tasks import Objective, Task

__all__ = ["COMPETITORS", "NoiseInjection", "TwoPoint"]


class NoiseInjection(Competitor):
    """Descent along the mean gradient at ``w + σv`` and ``w − σv`` with normal v; a step costs two gradients.

    The strength is σ divided by `Task.weight_scale`. The descent is on ``f + (σ²/2) tr ∇²f``. Steps are
    those of `flatmin.nn.NoiseInjection`, without the gradient at w that its training loop computes and discards.
    """

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return the mean loss at two points on either side of the weights."""
        draw = _directions(model, entry.seed)
        sigma = (entry.strength or 0.0) * entry.task.weight_scale

        def value(x: Any, y: Tensor, spent: float) -> Tensor:
            above, below = _losses(model, loss, draw(), sigma, x, y)
            return torch.as_tensor((above + below) / 2)

        return value


class TwoPoint(Competitor):
    """Descent by the loss at ``w + σv`` and ``w − σv`` with normal v, without gradients; a step costs one gradient.

    The strength is σ divided by `Task.weight_scale`. The descent is on ``f + (σ²/2) tr ∇²f``. The noise
    of the estimate grows with the number of weights, so step sizes are as small as for batches of one sample. The steps
    are those of `flatmin.nn.TwoPoint`, without the gradient that its training loop computes and discards.
    """

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return a function whose gradient is the slope along a random direction, times that direction."""
        draw = _directions(model, entry.seed)
        sigma = (entry.strength or 0.0) * entry.task.weight_scale

        def value(x: Any, y: Tensor, spent: float) -> Tensor:
            v = draw()
            with torch.no_grad():
                above, below = _losses(model, loss, v, sigma, x, y)
                slope = (above - below) / (2 * sigma)
            return torch.stack([(slope * v[n] * p).sum() for n, p in model.named_parameters()]).sum()

        return value

    def unit(self, task: Task) -> float:
        """Return 1 / trace, because the squared norm of the estimate grows with the number of weights."""
        return 1 / task.curvature(self.size, 1)


def _directions(model: nn.Module, seed: int) -> Callable[[], dict[str, Tensor]]:
    """Return a function that draws a normal vector in the space of the weights."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in model.named_parameters()}


def _losses(
    model: nn.Module, loss: nn.Module, v: dict[str, Tensor], sigma: float, x: Any, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss at w + σv and at w − σv."""
    weights = dict(model.named_parameters())
    above = loss(functional_call(model, {n: p + sigma * v[n] for n, p in weights.items()}, (x,)), y)
    below = loss(functional_call(model, {n: p - sigma * v[n] for n, p in weights.items()}, (x,)), y)
    return above, below


COMPETITORS = [
    NoiseInjection(
        name="noise-injection",
        title="Symmetric noise injection",
        claims="loss + (σ²/2) trace of the Hessian",
        source="Zhang, Li, Ju 2024, arXiv 2306.08553 (NSO)",
        strength=0.4,
        decays=True,
    ),
    TwoPoint(
        name="two-point",
        title="Two-point, zeroth order",
        claims="loss + (σ²/2) trace of the Hessian",
        source="Ahn, Jadbabaie, Sra 2024; Zhang et al. 2025, arXiv 2506.05454",
        strength=0.1,
        decays=True,
    ),
]
