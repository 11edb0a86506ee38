"""Adam and orthogonalized momentum: optimizers whose steps have a length that does not depend on the gradient's."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.tasks import Task

__all__ = ["COMPETITORS", "Adam", "Orthogonalized"]

#: Smallest and largest step size to be tried, in units of a natural weight.
STEPS = (0.004, 0.4)
#: Singular values below this share of the largest one count as zero; their singular vectors are not used.
NEGLIGIBLE = 1e-12


class Adam(Competitor):
    """Adam, which scales each coordinate by itself; no publication claims that it finds flat minima."""

    def unit(self, task: Task) -> float:
        """Return the size of a natural weight."""
        return task.weight_scale

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return torch's Adam."""
        return torch.optim.Adam(model.parameters(), lr=entry.step_size)


class Orthogonalized(Adam):
    """Momentum whose matrices are replaced by the nearest orthogonal ones: steepest descent in the spectral norm.

    As in Muon it has Nesterov momentum 0.95, and steps with the root mean square of Adam's. The polar factor is
    computed by a singular value decomposition in full precision, where torch's `Muon` iterates in half precision.
    Weights that are not matrices move by normalized momentum.
    """

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return the optimizer with orthogonalized updates."""
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
    """Return the polar factor of an update, scaled to root mean square one at full rank, or a normalized vector."""
    if update.ndim < 2:
        size = update.square().mean().sqrt()
        return update / size if size > 0 else update
    flat = update.reshape(len(update), -1)
    U, s, Vh = torch.linalg.svd(flat, full_matrices=False)
    kept = s > NEGLIGIBLE * s[0] if s[0] > 0 else s > 0
    polar: Tensor = (U * kept) @ Vh * max(flat.shape) ** 0.5
    return polar.reshape(update.shape)


COMPETITORS = [
    Adam(
        name="adam",
        title="Adam",
        claims="the loss, in a geometry of coordinates",
        source="Kingma, Ba 2015",
        steps=STEPS,
        decays=True,
    ),
    Orthogonalized(
        name="orthogonalized",
        title="Orthogonalized momentum (Muon-like)",
        claims="the loss, in the geometry of the spectral norm",
        source="Jordan et al. 2024 (Muon); Bernstein, Newhouse 2024, arXiv 2409.20325",
        steps=STEPS,
        decays=True,
    ),
]
