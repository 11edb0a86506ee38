"""Sharpness-aware minimization: the gradient at the worst weights nearby."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from flatmin.nn.optimizers._settings import number
from flatmin.nn.optimizers.base import Seeker, norm

__all__ = ["SAM"]


class SAM(Seeker):
    """Train with ``∇f(w + ρ ∇f(w)/‖∇f(w)‖)``, where f is the loss of all batches since the last step.

    With the whole data in a step it is said to make the largest eigenvalue of the Hessian small, with one example in a
    step its trace (Wen, Ma, Li 2022); see also `PerExampleSAM`.

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
    Without normalization and dropout the steps are those of `pytorch_optimizer.SAM`, to the single precision of its
    norm. It is not used here: it asks for a closure in the training loop, which a GradScaler refuses, updates running
    statistics twice, the second time from weights that are not the model's, and draws other masks for its second pass.

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

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, rho: float = 0.05) -> None:
        super().__init__(base, model, loss)
        self.rho = number("rho", rho)

    @property
    def gradient_evaluations(self) -> int:
        """Two: at the weights, and beside them."""
        return 2

    def seek(self) -> None:
        """Put the gradient beside the weights in place of that at the weights."""
        gradients = [p.grad for p in self.parameters]
        size = norm([g for g in gradients if g is not None])
        self.assign(self.gradient(gradients, self.rho / size if size > 0 else 0.0))
