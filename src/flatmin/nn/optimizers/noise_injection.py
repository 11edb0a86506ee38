"""Symmetric noise injection: gradients at weights with random noise added and subtracted."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin._core.validation import nonnegative, whole_number
from flatmin.nn.optimizers._random import RandomSeeker

__all__ = ["NoiseInjection"]


class NoiseInjection(RandomSeeker):
    """Train with the mean of ``½ (∇f(w + σv) + ∇f(w − σv))`` over standard normal directions v.

    The expectation of this mean is the gradient of ``f + (σ²/2) tr ∇²f + O(σ⁴)``; the remainder is zero for a quartic
    f, such as the squared loss of a factored model. The gradient at w itself is not used.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`.
    sigma : float
        Standard deviation σ of each weight's noise, in the units of the weights.
    directions : int
        Number of directions in a step; each costs two gradients.
    seed : int
        Seed of the directions.

    References
    ----------
    Zhang, Li, Ju 2024, "Noise stability optimization for finding flat minima", arXiv 2306.08553.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import NoiseInjection
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> NoiseInjection(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, sigma=0.02).gradient_evaluations
    2
    """

    replays = True

    def __init__(
        self, base: Optimizer, model: nn.Module, loss: Any, sigma: float = 0.01, *, directions: int = 1, seed: int = 0
    ) -> None:
        super().__init__(base, model, loss, seed)
        self.sigma = nonnegative(sigma, "sigma")
        self.directions = whole_number(directions, "directions", 1)

    @property
    def gradient_evaluations(self) -> int:
        """Two for each direction; the plain gradient, which the loop computes, is not used and not counted."""
        return 2 * self.directions

    def seek(self) -> None:
        """Replace the gradient by the mean over noisy weights."""
        total: list[Tensor | None] = [None] * len(self.parameters)
        for _ in range(self.directions):
            direction = [self.normal(p) for p in self.parameters]
            for length in (self.sigma, -self.sigma):
                found = self.gradient(direction, length)
                total = [t if g is None else g if t is None else t.add_(g) for t, g in zip(total, found, strict=True)]
        self.assign([None if t is None else t.div_(2 * self.directions) for t in total])
