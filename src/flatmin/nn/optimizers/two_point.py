"""Two-point random perturbation: training with values of the loss only, without its gradient."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from flatmin._core.validation import positive
from flatmin.nn.optimizers._random import RandomSeeker

__all__ = ["TwoPoint"]


class TwoPoint(RandomSeeker):
    """Train with ``(f(w + σv) − f(w − σv)) / (2σ) · v`` for a standard normal direction v.

    The expectation of this estimate is the gradient of the mean of f at ``w + σv``, which is
    ``f + (σ²/2) tr ∇²f + O(σ⁴)``. The gradient that the loop computes is not used.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`.
    sigma : float
        Standard deviation σ of the perturbation of each weight, in the units of the weights. In single precision the
        rounding error of the derivative is about ``1e-7 f / σ``, so σ must not be too small.
    seed : int
        Seed of the directions.

    References
    ----------
    Zhang et al. 2025, "Zeroth-order optimization finds flat minima", arXiv 2506.05454.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import TwoPoint
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> optimizer = TwoPoint(torch.optim.SGD(model.parameters(), lr=0.01), model, loss, sigma=0.01)
    """

    replays = True
    gradient_evaluations = 1  # two values of the loss cost about one gradient; the plain gradient is not used
    local = True

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, sigma: float = 0.01, *, seed: int = 0) -> None:
        super().__init__(base, model, loss, seed)
        self.sigma = positive(sigma, "sigma")

    def seek(self) -> None:
        """Replace the gradient by the two-point estimate."""
        direction = [self.normal(p) for p in self.parameters]
        slope = (self.value(direction, self.sigma) - self.value(direction, -self.sigma)) / (2 * self.sigma)
        self.assign([slope * v for v in direction])
