"""Small networks of one hidden layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Square", "one_hidden_layer", "signed_squares"]


class Square(nn.Module):
    """The activation ``z ↦ z²``."""

    def forward(self, z: Tensor) -> Tensor:
        """Return the squares."""
        return z.square()


def one_hidden_layer(inputs: int, width: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    """Return ``V a(W x + b) + c``, begun as torch begins linear layers."""
    return nn.Sequential(nn.Linear(inputs, width), activation, nn.Linear(width, outputs))


def signed_squares(inputs: int, width: int, *, scale: float = 0.1) -> nn.Sequential:
    """Return ``Σ_j ± (u_jᵀ x)²``, half of the signs positive, with small weights: the quadratic network of the theory.

    Parameters
    ----------
    inputs, width : int
        The dimension of x, and the even number of u_j.
    scale : float
        The standard deviation of ``u_jᵀ x`` at the start, for inputs of mean square 1.

    Examples
    --------
    >>> signed_squares(3, 4)(torch.ones(5, 3)).shape
    torch.Size([5, 1])
    """
    hidden, out = nn.Linear(inputs, width, bias=False), nn.Linear(width, 1, bias=False)
    nn.init.normal_(hidden.weight, std=scale / inputs**0.5)
    with torch.no_grad():
        out.weight[:, : width // 2], out.weight[:, width // 2 :] = 1, -1
    out.requires_grad_(False)
    return nn.Sequential(hidden, Square(), out)
