"""The largest and the smallest eigenvalue of a Hessian, with bounds that hold with a stated probability."""

from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch

from flatmin._core.validation import positive, seed_number
from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov, least_component
from flatmin.nn.estimators.base import Operator, TraceRequest, sphere
from flatmin.nn.estimators.spending import shown
from flatmin.nn.operators.curvature import CurvatureOptions, shows_options, symmetric_operator
from flatmin.nn.operators.streaming import Loss
from flatmin.nn.spectrum.lanczos import lanczos

__all__ = ["EigenvalueEstimate", "largest_eigenvalue"]

#: Largest number of products for one eigenvalue unless ``max_products`` is given.
MAX_PRODUCTS = 300


@dataclass(frozen=True)
class EigenvalueEstimate:
    """The largest or smallest eigenvalue of a symmetric operator, with bounds.

    ``value`` is the Ritz value; the eigenvalue is at least as extreme. ``lower`` and ``upper`` bound the eigenvalue:
    the inner bound, next to ``value``, always holds; the outer one fails with probability at most ``failure``, over the
    random start. Both bounds are widened by the observed rounding errors of the products. Some eigenvalue, not
    necessarily the extreme one, lies within ``residual`` of ``value``. ``end`` is "largest" or "smallest", and ``of``
    "hessian", "gauss_newton", or None for any other operator.

    Examples
    --------
    >>> import torch
    >>> found = largest_eigenvalue(torch.diag(torch.tensor([1.0, 2.0, 5.0])).double())
    >>> round(found.value, 6), found.lower <= 5 <= found.upper, found.end
    (5.0, True, 'largest')
    """

    value: float
    lower: float
    upper: float
    failure: float
    residual: float
    n_products: int
    end: str
    of: str | None = None


@shows_options
def largest_eigenvalue(
    model: torch.nn.Module | Operator,
    loss: Loss | None = None,
    data: Any = None,
    *,
    end: str = "largest",
    tol: float = 1e-3,
    failure: float = 1e-6,
    max_products: int | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> EigenvalueEstimate:
    """Return the largest or the smallest eigenvalue of the Hessian of a loss at the model's weights, with bounds.

    Lanczos steps from a start v, uniform on the sphere, give Ritz values, which are inner bounds. With probability
    ``1 − failure``, the component of v along the eigenvector is at least c, where c² is a quantile of the distribution
    Beta(1/2, (n−1)/2). Then ``Σ_{j ≤ k} q_j(λ)² ≤ 1/c²`` for the orthonormal polynomials of the iteration, which gives
    an outer bound on λ (`Krylov.upper_bound`), at whatever step the iteration ends.

    Parameters
    ----------
    model, loss, data, **options
        As for `spectral_density`, which raises the same errors: a model with its loss and data, or an operator.
    end : str
        "largest" or "smallest".
    tol : float
        The iteration ends once the difference of the bounds, divided by the largest absolute Ritz value, is at most
        this.
    failure : float
        Probability that the outer bound fails.
    max_products, seed : int
        Largest number of products, 300 by default, and seed of the start.

    References
    ----------
    van Dorsselaer, Hochstenbach, van der Vorst, "Computing probabilistic bounds for extreme eigenvalues of symmetric
    matrices with the Lanczos method", SIAM J. Matrix Anal. Appl. 2000, use the last polynomial alone; Kuczyński and
    Woźniakowski, SIAM J. Matrix Anal. Appl. 1992, bound the error before the run.

    Examples
    --------
    >>> import torch
    >>> model, x = torch.nn.Linear(2, 1, bias=False).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
    >>> found = largest_eigenvalue(model, torch.nn.MSELoss(), (x, torch.zeros(2, 1).double()))
    >>> round(found.lower, 6), round(found.upper, 6)
    (9.0, 9.0)
    >>> found = largest_eigenvalue(torch.diag(torch.linspace(-2, 3, 500)).double(), end="smallest")
    >>> found.lower <= -2 <= found.upper, found.upper - found.lower < 4e-3
    (True, True)
    """
    operator = symmetric_operator(model, loss, data, **options)
    n = TraceRequest(operator, max_products=max_products).check(1)
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
    with shown(operator) as counted:
        side = oriented(lanczos(counted, start, max_products or MAX_PRODUCTS, enough)[0])
    value, outer = float(side.nodes[-1]), side.upper_bound(component) + side.rounding
    bounds = (value - side.rounding, outer)
    sign = 1 if end == "largest" else -1
    lower, upper = sorted(sign * bound for bound in bounds)
    residual, of = float(side.residuals[-1]), getattr(operator, "of", None)
    return EigenvalueEstimate(sign * value, lower, upper, failure, residual, side.steps, end, of)
