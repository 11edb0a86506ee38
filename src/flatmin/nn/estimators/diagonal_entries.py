"""The diagonal of a symmetric operator, exact or by regressions on its products with Gaussian vectors."""

from typing import NamedTuple

import torch
from torch import Tensor

from flatmin._core.memory import require
from flatmin.nn.estimators.base import Operator, dimension
from flatmin.nn.estimators.spending import at_once, multiplied

__all__ = ["FlatDiagonal", "exact_diagonal", "regressed_diagonal"]

#: Number of unit vectors that are multiplied at once.
_UNITS_AT_ONCE = 64
#: Smallest number of regression vectors, in place of which an interrupt leaves no estimate.
MIN_VECTORS = 8


class FlatDiagonal(NamedTuple):
    """Estimates of the diagonal entries, (n,), with standard errors and the degrees of freedom of their intervals."""

    values: Tensor
    std_errors: Tensor
    freedom: int | None
    n_products: int


def exact_diagonal(operator: Operator) -> Tensor:
    """Return the diagonal of an operator from n products, (n,), in float64 on the CPU."""
    n = dimension(operator)
    diagonal = torch.empty(n, dtype=torch.float64)
    for start in range(0, n, _UNITS_AT_ONCE):
        stop = min(start + _UNITS_AT_ONCE, n)
        E = torch.zeros(n, stop - start, dtype=operator.dtype, device=operator.device)
        E[torch.arange(start, stop), torch.arange(stop - start)] = 1
        diagonal[start:stop] = (operator @ E)[start:stop].diagonal().double().cpu()
    return diagonal


def regressed_diagonal(operator: Operator, n_products: int, rank: int, generator: torch.Generator) -> FlatDiagonal:
    r"""Return unbiased estimates of all diagonal entries, with standard errors of exactly Student's distribution.

    The columns of Q are an orthonormal basis of H times ``rank`` random vectors, P is the projector onto their
    orthogonal complement, and ``diag H = diag(H − PHP) + diag PHP``. The first term is exact. For a further Gaussian
    vector g, entry i of ``PHP g`` is ``R_ii g_i`` plus a normal number independent of g_i, for ``R = PHP``. So the
    regression of entry i on g_i through the origin has the slope R_ii, and its t statistic has Student's distribution
    with one degree of freedom less than there are vectors. No limit theorem is involved.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n); it need not be semidefinite.
    n_products, rank : int
        Number of products, of which ``2 rank`` find Q and H Q. At least 8 are for the regressions.
    generator : torch.Generator
        The generator of the random vectors.

    References
    ----------
    Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", Applied Numerical Mathematics 57, 2007, is
    the case ``rank=0``. Baston, Nakatsukasa, "Stochastic diagonal estimation: probabilistic bounds and an improved
    algorithm", 2022, has the deflation. The intervals are ours.

    Examples
    --------
    >>> import torch
    >>> H = torch.diag(torch.arange(50.0).double()) + 0.1
    >>> found = regressed_diagonal(H, 60, 20, torch.Generator().manual_seed(0))
    >>> bool(((found.values - H.diagonal()).abs() < 5 * found.std_errors).all()), found.freedom
    (True, 19)
    """
    n = dimension(operator)
    size = (2.0 * rank + 4 * at_once(operator)) * n * torch.finfo(operator.dtype).bits / 8
    require(size + 24.0 * n, f"estimating the diagonal of {n} weights with {rank} kept vectors")
    Q = HQ = torch.empty(n, 0, dtype=operator.dtype, device=operator.device)
    if rank:
        Q = torch.linalg.qr(_all(operator, _gaussian(operator, rank, generator))).Q
        HQ = _all(operator, Q)
    inside = Q.mT @ HQ
    total = _Regressions(n, operator)
    while total.count < n_products - 2 * rank:
        V = _gaussian(operator, min(at_once(operator), n_products - 2 * rank - total.count), generator)
        HV = multiplied(operator, V)
        if not HV.shape[1]:
            if total.count < MIN_VECTORS:
                raise KeyboardInterrupt
            break
        HV -= HQ @ (Q.mT @ V)
        total.add(V, HV - Q @ (Q.mT @ HV))
    known = (Q * (2 * HQ - Q @ inside)).sum(1).double()
    values, errors = total.slopes()
    return FlatDiagonal(known + values, errors, total.count - 1, 2 * rank + total.count)


class _Regressions:
    """Sums for the regression through the origin of every entry of the products on the same entry of the vectors."""

    def __init__(self, n: int, operator: Operator) -> None:
        self.gg, self.gy, self.yy = torch.zeros(3, n, dtype=torch.float64, device=operator.device)
        self.count, self.unit = 0, torch.finfo(operator.dtype).eps

    def add(self, vectors: Tensor, products: Tensor) -> None:
        for g, y in zip(vectors.unbind(1), products.unbind(1), strict=True):
            g, y = g.double(), y.double()
            self.gg.addcmul_(g, g)
            self.gy.addcmul_(g, y)
            self.yy.addcmul_(y, y)
        self.count += vectors.shape[1]

    def slopes(self) -> tuple[Tensor, Tensor]:
        """Return the slopes and their standard errors; residuals below the rounding of a product count as that."""
        slopes = self.gy / self.gg
        rounding = max((4 * self.unit) ** 2, torch.finfo(torch.float64).eps)
        residuals = torch.maximum(self.yy - slopes * self.gy, rounding * self.yy)
        return slopes, (residuals / (self.count - 1) / self.gg).sqrt()


def _all(operator: Operator, vectors: Tensor) -> Tensor:
    """Return the products with all vectors; an interrupt raises `KeyboardInterrupt`, for there is no estimate yet."""
    products = multiplied(operator, vectors)
    if products.shape[1] < vectors.shape[1]:
        raise KeyboardInterrupt
    return products


def _gaussian(operator: Operator, count: int, generator: torch.Generator) -> Tensor:
    """Return vectors of independent standard normal numbers as columns, the same for a seed on every device."""
    V = torch.randn(operator.shape[0], count, generator=generator, dtype=torch.float64)
    return V.to(operator.device, operator.dtype)
