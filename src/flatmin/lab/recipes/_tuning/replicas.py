"""Replicas: networks of one shape that are trained at the same time, for little more than the time of one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flatmin.nn.optimizers.sam import SAM

__all__ = ["EachSAM", "Replicas"]


class Replicas(nn.Module):
    """Networks of one shape, each with its own weights and data, as one module.

    Outputs are stacked along the first axis. So a loss that averages over samples is the mean over replicas, and its
    Gauss-Newton matrix is block diagonal. A trace penalty, weight decay or label noise therefore acts on each replica
    as if it were trained alone. Adam is not affected by the division of gradients by the number of replicas.

    Parameters
    ----------
    networks : sequence of nn.Sequential
        S networks of linear layers and functions without weights, which differ only in their weights.

    Examples
    --------
    >>> model = Replicas([nn.Sequential(nn.Linear(3, 2), nn.ReLU()) for _ in range(4)])
    >>> model(torch.zeros(4, 5, 3)).shape
    torch.Size([20, 2])
    """

    def __init__(self, networks: Sequence[nn.Sequential]) -> None:
        super().__init__()
        # A tuple hides the module, whose weights are not parameters of this one.
        self._pattern = (copy.deepcopy(networks[0]),)
        alike = zip(*(network.parameters() for network in networks), strict=True)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.stack(weights).detach(), weights[0].requires_grad) for weights in alike
        )

    def __len__(self) -> int:
        return len(self.weights[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, shape (S·n, …), for inputs of shape (S, n, …)."""
        weights = iter(self.weights)
        for layer in self._pattern[0]:
            if not isinstance(layer, nn.Linear):
                x = layer(x)
            elif layer.bias is None:
                x = torch.bmm(x, next(weights).mT)
            else:
                weight, bias = next(weights), next(weights)
                x = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
        return x.flatten(0, 1)

    def replica(self, index: int) -> nn.Sequential:
        """Return a copy of one network."""
        network = copy.deepcopy(self._pattern[0])
        with torch.no_grad():
            for own, stacked in zip(network.parameters(), self.weights, strict=True):
                own.copy_(stacked[index])
        return network


class EachSAM(SAM):
    """`SAM` for each replica separately: the distance ρ is measured in its own weights."""

    def seek(self) -> None:
        """Replace the gradient at the weights by that at the perturbed weights."""
        gradients = [p.grad for p in self.parameters]
        squares = [g.flatten(1).square().sum(1) for g in gradients if g is not None]
        norms = torch.stack(squares).sum(0).sqrt()
        lengths = self.rho / norms.clamp(min=torch.finfo(norms.dtype).tiny)
        self.assign(self.gradient([None if g is None else _each(lengths, g) for g in gradients]))


def _each(factors: Tensor, stacked: Tensor) -> Tensor:
    """Return ``factors[s] * stacked[s]`` for all s."""
    return factors.view(-1, *[1] * (stacked.ndim - 1)) * stacked
