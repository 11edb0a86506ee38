"""Sharpness-aware minimization with a perturbation for each sample."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.tasks import Objective, Task

__all__ = ["COMPETITORS", "PerExampleSAM"]


class PerExampleSAM(Competitor):
    """Descent along the mean of the samples' gradients, each at its own worst weights; a step costs two gradients.

    The strength is ρ divided by `Task.weight_norm`. The expected step is that of SAM with one sample, with
    less noise. The gradients of all samples in one vectorized pass count as one. The steps are those of
    `flatmin.nn.PerExampleSAM`, without the gradient of the batch that its training loop computes and discards.
    """

    def objection(self, task: Task) -> str | None:
        """Return an objection to models in which samples cannot have weights of their own."""
        objection = super().objection(task)
        if objection is None:
            model, (x, y) = task.model(0), next(task.batches(self.batch, 0))
            try:
                _outputs(model, _copies(model, len(y)), x)
            except (RuntimeError, ValueError):
                return "samples cannot each have their own weights, for instance by batch normalization or dropout"
        return objection

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return the mean loss of samples, each at its own perturbed weights."""
        rho = (entry.strength or 0.0) * entry.task.weight_norm
        parameters = dict(model.named_parameters())

        def value(x: Any, y: Tensor, spent: float) -> Tensor:
            copies = _copies(model, len(y))
            each = vmap(lambda out, target: loss(out[None], target[None]))(_outputs(model, copies, x), y)
            slopes = torch.autograd.grad(each.sum(), list(copies.values()))
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in slopes]).norm(dim=0)
            lengths = torch.where(norms > 0, rho / norms, 0.0)
            moved = {
                n: p + lengths.reshape(-1, *[1] * p.ndim) * g
                for (n, p), g in zip(parameters.items(), slopes, strict=True)
            }
            return torch.as_tensor(loss(_outputs(model, moved, x), y))

        return value


def _copies(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Return copies of the weights, stacked."""
    return {n: p.detach().expand(count, *p.shape).clone().requires_grad_() for n, p in model.named_parameters()}


def _outputs(model: nn.Module, weights: dict[str, Tensor], x: Any) -> Tensor:
    """Return the output of each sample at its own weights."""
    return vmap(lambda w, one: functional_call(model, w, (one[None],))[0])(weights, x)  # type: ignore[no-any-return]


COMPETITORS = [
    PerExampleSAM(
        name="per-example-sam",
        title="SAM, per example",
        claims="the trace of the Hessian",
        source="Wen, Ma, Li 2022, arXiv 2211.05729",
        batch=8,
        strength=0.02,
        decays=True,
    )
]
