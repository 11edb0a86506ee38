"""Sharpness-aware minimization: the gradient at the worst nearby weights."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from flatmin._core.validation import nonnegative
from flatmin.nn.optimizers.base import Seeker, norm

__all__ = ["SAM"]


class SAM(Seeker):
    """Train with ``∇f(w + ρ ∇f(w)/‖∇f(w)‖)``, where f is the loss of all batches since the last step.

    Steps with the whole data set favour a small largest eigenvalue of the Hessian, and steps with one example a small
    trace (Wen, Ma, Li 2022); see also `PerExampleSAM`.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`.
    rho : float
        The distance ρ, in the units of the weights.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur 2021, arXiv 2010.01412; Wen, Ma, Li 2022, arXiv 2211.05729.

    Notes
    -----
    Without normalization and dropout the steps agree with `pytorch_optimizer.SAM` to single precision. That class needs
    a closure, which a GradScaler refuses, updates running statistics at the perturbed weights too, and draws new masks
    for its second pass.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import SAM
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.05)
    >>> x, y = torch.ones(8, 3), torch.zeros(8, 1)
    >>> optimizer.zero_grad()
    >>> loss(model(x), y).backward()
    >>> optimizer.step()
    """

    replays = True
    gradient_evaluations = 2  # at the weights, and at the perturbed weights

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, rho: float = 0.05) -> None:
        super().__init__(base, model, loss)
        self.rho = nonnegative(rho, "rho")

    def seek(self) -> None:
        """Replace the gradient by that at the perturbed weights."""
        gradients = [p.grad for p in self.parameters]
        size = norm([g for g in gradients if g is not None])
        self.assign(self.gradient(gradients, self.rho / size if size > 0 else 0.0))
