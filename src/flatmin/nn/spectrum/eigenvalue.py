"""The largest and the smallest eigenvalue of a Hessian, with bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from flatmin._core.validation import positive, seed_number
from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov, least_component
from flatmin.nn.estimators.base import Operator, check, sphere
from flatmin.nn.operators.curvature import Curvature
from flatmin.nn.spectrum.lanczos import lanczos

__all__ = ["EigenvalueEstimate", "extreme_eigenvalue", "largest_eigenvalue"]

#: Products spent on one eigenvalue unless the user says otherwise.
PRODUCTS = 300


@dataclass(frozen=True)
class EigenvalueEstimate:
    """The largest or smallest eigenvalue of a symmetric operator, with bounds.

    Attributes
    ----------
    value : float
        The Ritz value. It cannot lie beyond the eigenvalue.
    lower, upper : float
        Bounds of the eigenvalue. The one on the side of ``value`` is certain, the other one fails with probability
        ``failure`` at most; both are widened by the rounding errors that were seen in the products.
    failure : float
        That probability, over the random start.
    residual : float
        Some eigenvalue lies within this distance of ``value``, though perhaps not the extreme one.
    n_products : int
        Products that were spent.
    end : str
        "largest" or "smallest".
    of : str or None
        "hessian" or "gauss_newton"; None for an operator that is neither.
    """

    value: float
    lower: float
    upper: float
    failure: float
    residual: float
    n_products: int
    end: str
    of: str | None = None


def largest_eigenvalue(
    model: torch.nn.Module,
    loss: Any,
    data: Any,
    *,
    of: str = "hessian",
    mode: str = "eval",
    distributed: Any = False,
    end: str = "largest",
    tol: float = 1e-3,
    failure: float = 1e-6,
    max_products: int | None = None,
    seed: int = 0,
) -> EigenvalueEstimate:
    """Return the largest eigenvalue of the Hessian of a loss at the model's weights, or the smallest, with bounds.

    Parameters
    ----------
    model, loss, data, of, mode, distributed
        As for `Curvature`.
    end, tol, failure, max_products, seed
        As for `extreme_eigenvalue`.

    Examples
    --------
    >>> import torch
    >>> model, x = torch.nn.Linear(2, 1, bias=False).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
    >>> found = largest_eigenvalue(model, torch.nn.MSELoss(), (x, torch.zeros(2, 1).double()))
    >>> round(found.lower, 6), round(found.upper, 6)
    (9.0, 9.0)
    """
    operator = Curvature(model, loss, data, of=of, mode=mode, distributed=distributed)
    found = extreme_eigenvalue(operator, end=end, tol=tol, failure=failure, max_products=max_products, seed=seed)
    return replace(found, of=of)


def extreme_eigenvalue(
    operator: Operator,
    *,
    end: str = "largest",
    tol: float = 1e-3,
    failure: float = 1e-6,
    max_products: int | None = None,
    seed: int = 0,
) -> EigenvalueEstimate:
    """Return the largest or smallest eigenvalue of a symmetric operator, with bounds.

    Lanczos steps from a start v, uniform on the sphere, give Ritz values, which bound the eigenvalue from inside. Its
    eigenvectors have a component of at least c in v with probability ``1 − failure``, where c² is a quantile of the
    Beta(1/2, (n−1)/2) law. Then ``Σ_{j ≤ k} q_j(λ)² ≤ 1/c²`` for the orthonormal polynomials of the iteration, which
    bounds λ from outside (`Krylov.upper_bound`). The event is one of the start alone, so that the bound holds at
    whatever step the iteration ends.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n), for instance a `Curvature` or a dense tensor.
    end : str
        "largest" or "smallest".
    tol : float
        The iteration ends when the bounds differ by this, relatively to the largest Ritz value in size.
    failure : float
        Probability with which the outer bound may fail, between 0 and 1; the number of products grows with its
        logarithm.
    max_products : int, optional
        Products that may be spent, 300 by default; the bounds are then as wide as they are.
    seed : int
        Draws the start.

    Raises
    ------
    InputError
        If an argument is out of range, the operator not symmetric, or a product not finite.

    References
    ----------
    van Dorsselaer, Hochstenbach, van der Vorst, "Computing probabilistic bounds for extreme eigenvalues of symmetric
    matrices with the Lanczos method", SIAM J. Matrix Anal. Appl. 2000, use the last polynomial alone; Kuczyński and
    Woźniakowski, SIAM J. Matrix Anal. Appl. 1992, bound the error before the run.

    Examples
    --------
    >>> import torch
    >>> found = extreme_eigenvalue(torch.diag(torch.linspace(-2, 3, 500)).double(), end="smallest")
    >>> found.lower <= -2 <= found.upper, found.upper - found.lower < 4e-3
    (True, True)
    """
    n = check(operator, max_products, None, 1)
    if end not in ("largest", "smallest"):
        raise InputError(f"end is {end!r}, expected 'largest' or 'smallest'")
    positive(tol, "tol")
    positive(failure, "failure", below=1)
    component = least_component(n, failure)

    def oriented(krylov: Krylov) -> Krylov:
        return krylov if end == "largest" else krylov.reversed()

    def enough(krylov: Krylov) -> bool:
        nodes, side = krylov.nodes, oriented(krylov)
        return side.upper_bound(component) - float(side.nodes[-1]) <= tol * float(np.abs(nodes).max())

    start = sphere(operator, 1, torch.Generator().manual_seed(seed_number(seed)))
    side = oriented(lanczos(operator, start, max_products or PRODUCTS, enough)[0])
    value, outer = float(side.nodes[-1]), side.upper_bound(component) + side.rounding
    bounds = (value - side.rounding, outer)
    sign = 1 if end == "largest" else -1
    lower, upper = sorted(sign * bound for bound in bounds)
    return EigenvalueEstimate(sign * value, lower, upper, failure, float(side.residuals[-1]), side.steps, end)
