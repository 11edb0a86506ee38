"""The training loss at the end of a run, along the directions of its largest and of its smallest curvature."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import Array

__all__ = ["end_slices", "extreme_directions"]

#: Number of products with the Hessian that find the two directions.
PRODUCTS = 60
#: A Krylov space is exhausted if this share of a product, or less, is outside it.
EXHAUSTED = 1e-10
#: Number of steps along each direction at which the loss is measured.
POINTS = 41


def end_slices(model: nn.Module, loss: Callable[[nn.Module], Tensor], reach: float) -> dict[str, list[float]]:
    """Return steps, the losses at these steps along the sharpest and the flattest direction, and both curvatures.

    The lists are called "steps", "sharpest", "flattest" and "curvatures". Steps are distances in weights, up to
    ``reach`` on both sides. The model, which is not changed, is in evaluation mode.
    """
    model = copy.deepcopy(model).eval()
    parameters = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in parameters]
    slope = _flat(torch.autograd.grad(loss(model), parameters, create_graph=True))

    def product(vector: Array) -> Array:
        if not slope.requires_grad:  # the loss is linear
            return np.zeros_like(vector)
        along = torch.from_numpy(vector).to(slope)
        bent = torch.autograd.grad(slope, parameters, along, retain_graph=True, materialize_grads=True)
        return np.asarray(_flat(bent).double())

    curvatures, directions = extreme_directions(product, sum(sizes))
    weights, steps = [p.detach().clone() for p in parameters], np.linspace(-reach, reach, POINTS)
    losses = []
    for direction in directions:
        parts = [d.view_as(p) for d, p in zip(torch.split(torch.from_numpy(direction), sizes), weights, strict=True)]
        with torch.no_grad():
            for step in steps:
                for p, start, part in zip(parameters, weights, parts, strict=True):
                    p.copy_(start + float(step) * part.to(start))
                losses.append(float(loss(model)))
    sharpest, flattest = losses[:POINTS], losses[POINTS:]
    return {"steps": steps.tolist(), "sharpest": sharpest, "flattest": flattest, "curvatures": list(curvatures)}


def extreme_directions(product: Callable[[Array], Array], n: int) -> tuple[tuple[float, float], Array]:
    """Return the largest and the smallest curvature, and their directions (2, n), in a Krylov space of a matrix.

    Up to 60 weights the result is exact. Otherwise the largest curvature is nearly exact if it stands out, and the
    smallest one is an upper bound of the smallest eigenvalue.
    """
    vector = np.random.default_rng(0).standard_normal(n)
    basis = products = np.empty((0, n))
    while len(basis) < min(PRODUCTS, n):
        size = np.linalg.norm(vector)
        for _ in range(2):  # the second time removes rounding errors
            vector = vector - basis.T @ (basis @ vector)
        rest = np.linalg.norm(vector)
        if rest <= EXHAUSTED * size:
            break
        basis = np.vstack([basis, vector / rest])
        vector = product(basis[-1])
        products = np.vstack([products, vector])
    projected = products @ basis.T
    values, vectors = np.linalg.eigh((projected + projected.T) / 2)
    return (float(values[-1]), float(values[0])), (vectors[:, [-1, 0]].T @ basis)


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])
