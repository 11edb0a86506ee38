"""The diagonal of the Hessian of a loss, or of its Gauss-Newton part, with an interval for every entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from flatmin._core.validation import positive, seed_number
from flatmin.errors import InputError
from flatmin.nn.estimators.base import PRODUCTS, TraceRequest
from flatmin.nn.estimators.diagonal_entries import MIN_VECTORS, FlatDiagonal, exact_diagonal, regressed_diagonal
from flatmin.nn.estimators.spending import shown
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions, shows_options
from flatmin.nn.operators.output_trace import output_traces, squares
from flatmin.nn.operators.streaming import Loss

__all__ = ["DiagonalEstimate", "hessian_diagonal"]

#: Names of the methods.
METHODS = ("auto", "exact", "bekas", "diag++")
#: Bekas's estimator is used if Diag++ would keep vectors of more bytes than this.
_VECTOR_MEMORY = 1 << 33


@dataclass(frozen=True)
class DiagonalEstimate:
    """The diagonal of a curvature as one tensor for each parameter, by its name and in its shape.

    ``values`` are unbiased, and exact if ``method`` is "exact". ``std_errors`` are their estimated standard deviations.
    ``freedom`` is the number of degrees of freedom of the intervals, None if the values are exact. ``of`` is "hessian"
    or "gauss_newton".

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> found = hessian_diagonal(model, torch.nn.MSELoss(), data)
    >>> found.method, found.n_products, found.values["weight"]
    ('exact', 2, tensor([[1., 5.]]))
    """

    values: Mapping[str, Tensor]
    std_errors: Mapping[str, Tensor]
    freedom: int | None
    n_products: int
    method: str
    of: str

    def interval(self, name: str, confidence_level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return the lower and upper ends of the intervals for the entries of a parameter, in its shape.

        Each interval covers its own entry with this probability; 5 % of all intervals of 95 % miss theirs. The entries
        are not independent. Rounding errors of the products are not included.
        """
        if name not in self.values:
            raise InputError(f"name is {name!r}, expected one of {', '.join(self.values)}")
        level = positive(confidence_level, "confidence_level", below=1)
        quantile = 0.0 if self.freedom is None else float(stdtrit(self.freedom, (1 + level) / 2))
        value, half = self.values[name], quantile * self.std_errors[name]
        return value - half, value + half


@shows_options
def hessian_diagonal(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    method: str = "auto",
    max_products: int | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> DiagonalEstimate:
    """Return the diagonal of the Hessian of a loss, averaged over all samples, or of its Gauss-Newton part.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`, or a `Curvature` in place of all of them. The model is not changed.
    method : {"auto", "exact", "bekas", "diag++"}
        ``"exact"`` takes n products for n parameters. For the Gauss-Newton matrix of separate samples it takes one
        gradient for each output of each sample, for any n. ``"bekas"`` regresses products on their Gaussian vectors,
        with an error of entry i of about ``(Σ_{j≠i} H_ij² / m)^½`` for m products. ``"diag++"`` first spends two
        thirds of the products on a subspace of large eigenvalues, where it is exact. ``"auto"`` is exact if that takes
        no more products than allowed. Otherwise it is Diag++ for the Gauss-Newton matrix, in which few eigenvalues
        dominate, unless its vectors would need more than 8 GiB, and Bekas's estimator for the Hessian.
    max_products : int, optional
        Largest number of products, each of which reads all data and costs about two gradients; 100 by default.
    seed : int
        Seed of the random vectors; the same in every process.

    Raises
    ------
    InputError
        If an argument cannot be used, or the loss is not finite or not an average over samples.

    References
    ----------
    Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", Applied Numerical Mathematics 57, 2007.
    Baston, Nakatsukasa, "Stochastic diagonal estimation: probabilistic bounds and an improved algorithm", 2022.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> hessian_diagonal(model, torch.nn.MSELoss(), (x, y)).values["weight"]
    tensor([[1., 5.]])
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    generator = torch.Generator().manual_seed(seed_number(seed))
    curvature = Curvature.from_arguments(model, loss, data, **options)
    n = TraceRequest(curvature, max_products=max_products).check(1)
    found = None
    if method in ("auto", "exact"):
        found = _exact(curvature, min(n, max_products or (PRODUCTS if method == "auto" else n)))
        if found is None and method == "exact":
            raise InputError(f"max_products is {max_products}, expected at least {n}, one for each parameter")
    if found is None:
        total = max_products or PRODUCTS
        vectors = 2 * (total // 3) * n * torch.finfo(curvature.dtype).bits / 8
        suits = curvature.of == "gauss_newton" and total >= 3 * MIN_VECTORS and vectors <= _VECTOR_MEMORY
        method = ("diag++" if suits else "bekas") if method == "auto" else method
        least = MIN_VECTORS if method == "bekas" else MIN_VECTORS + 2
        TraceRequest(curvature, max_products=max_products).check(least)
        rank = 0 if method == "bekas" else min(total // 3, (total - MIN_VECTORS) // 2, n)
        with shown(curvature, total) as operator:
            found = regressed_diagonal(operator, total, rank, generator)
    else:
        method = "exact"
    values, errors = (_by_name(curvature, flat) for flat in (found.values, found.std_errors))
    return DiagonalEstimate(values, errors, found.freedom, found.n_products, method, curvature.of)


def _exact(curvature: Curvature, limit: int) -> FlatDiagonal | None:
    """Return the exact diagonal, or None if it takes more than ``limit`` products or gradients of each sample."""
    n, by_sample = curvature.shape[0], None
    if curvature.of == "gauss_newton":
        by_sample = output_traces(curvature, limit, squares)
    if by_sample is None and n > limit:
        return None
    if by_sample is None:
        with shown(curvature, n) as operator:
            by_sample = exact_diagonal(operator), n
    return FlatDiagonal(by_sample[0], torch.zeros_like(by_sample[0]), None, by_sample[1])


def _by_name(curvature: Curvature, flat: Tensor) -> dict[str, Tensor]:
    """Return the entries of each parameter in its shape, in the operator's dtype and on its device."""
    weights = curvature.weights
    parts = weights.vectors(flat.to(curvature.device, curvature.dtype)[None])
    return {name: part[0] for name, part in zip(weights.names, parts, strict=True)}
