"""Orthogonalized updates, in the manner of Muon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.task import Task

__all__ = ["Orthogonalized"]


class Orthogonalized(Competitor):
    """Momentum whose matrices are replaced by the nearest orthogonal ones, on all data.

    As in Muon (Nesterov momentum .95, steps scaled to the root mean square of Adam's), with the polar factor by a
    singular value decomposition in double precision where torch's `Muon` iterates in half precision. Weights that are
    not matrices move by plain normalized momentum. It is steepest descent in the spectral norm.
    """

    name = "orthogonalized"
    title = "Orthogonalized momentum (Muon-like)"
    claims = "the loss, in the geometry of the spectral norm"
    source = "Jordan et al. 2024 (Muon); Bernstein, Newhouse 2024, arXiv 2409.20325"
    steps = (0.004, 0.4)
    decays = True

    def unit(self, task: Task) -> float:
        """Return the length of a natural weight."""
        return task.length

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return the update below."""
        return _Muon(model.parameters(), lr=entry.step_size)


class _Muon(Optimizer):
    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                p.sub_(_direction(p.grad.lerp(average, group["momentum"])), alpha=group["lr"])


def _direction(update: Tensor) -> Tensor:
    """Return the polar factor of an update, of root mean square one up to its rank, or the normalized update."""
    if update.ndim < 2:
        size = update.square().mean().sqrt()
        return update / size if size > 0 else update
    flat = update.reshape(len(update), -1)
    U, s, Vh = torch.linalg.svd(flat, full_matrices=False)
    kept = s > 1e-12 * s[0] if s[0] > 0 else s > 0
    polar: Tensor = (U * kept) @ Vh * max(flat.shape) ** 0.5
    return polar.reshape(update.shape)
