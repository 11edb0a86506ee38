"""The Lanczos iteration: what a symmetric operator does to one vector, as a small tridiagonal matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.special import betaincinv
from torch import Tensor

from flatmin._memory import require
from flatmin.errors import InputError
from flatmin.metric import Array
from flatmin.nn.estimators.base import Operator

__all__ = ["Krylov", "lanczos", "least_component"]

#: Products may disagree with those of a symmetric operator by this, relatively to its size.
ASYMMETRY = 1e-2
#: A residual below so many rounding errors is zero: all that the start reaches has been seen.
ZERO = 32


@dataclass(frozen=True)
class Krylov:
    """The matrix T of k Lanczos steps from a unit vector v, and the norm of the residual that is left.

    The vectors of the iteration are ``q_j(A) v`` with polynomials q_0 = 1, … , q_k that are orthonormal for the
    spectral measure of v, ``μ = Σ_i c_i² δ(λ_i)`` with c_i the component of v along eigenvector i.

    Attributes
    ----------
    diagonal : ndarray, shape (k,)
        Diagonal of T.
    beside : ndarray, shape (k,)
        What stands beside it, and last the norm of the residual, which is no part of T.
    rounding : float
        The part of the products that T leaves out: zero but for rounding errors.
    exhausted : bool
        Whether the residual is zero: T then has every eigenvalue whose eigenvectors v is not orthogonal to.

    Examples
    --------
    >>> import torch
    >>> krylov = lanczos(torch.diag(torch.tensor([1.0, 2.0, 4.0])).double(), torch.ones(3, 1), 3)[0]
    >>> krylov.exhausted, [round(float(node), 6) for node in krylov.nodes]
    (True, [1.0, 2.0, 4.0])
    """

    diagonal: Array
    beside: Array
    rounding: float
    exhausted: bool

    @property
    def steps(self) -> int:
        """Return k, the number of products."""
        return len(self.diagonal)

    @property
    def nodes(self) -> Array:
        """Return the Ritz values, eigenvalues of T, ascending."""
        return self._decomposition[0]

    @property
    def weights(self) -> Array:
        """Return the weights of the Gauss quadrature ``Σ_j w_j f(θ_j)`` of ``vᵀ f(A) v``, which add up to 1."""
        return np.asarray(self._decomposition[1][0] ** 2)

    @property
    def residuals(self) -> Array:
        """Return, for each Ritz value, a distance within which an eigenvalue of A lies."""
        return np.asarray(self.beside[-1] * np.abs(self._decomposition[1][-1]))

    @cached_property
    def _decomposition(self) -> tuple[Array, Array]:
        return eigh_tridiagonal(self.diagonal, self.beside[:-1])  # type: ignore[no-any-return]

    def reversed(self) -> Krylov:
        """Return the same for −A."""
        return Krylov(-self.diagonal, self.beside, self.rounding, self.exhausted)

    def upper_bound(self, component: float) -> float:
        """Return a number that no eigenvalue exceeds whose eigenvectors have a component of at least this in v.

        A polynomial p of degree k with ``∫ p² dμ = 1`` has ``c² p(λ)² ≤ 1`` at an eigenvalue λ with component c. The
        largest ``p(λ)²`` of all of them is ``K(λ) = Σ_{j ≤ k} q_j(λ)²``. So ``K(λ) ≤ 1/c²``, and beyond the largest
        Ritz value K grows.
        """
        largest = float(self.nodes[-1])
        low, step = largest, float(self.beside[-1]) or self.floor
        if self._exceeds(low, component):
            return low
        while not self._exceeds(low + step, component):
            step *= 2
        high = low + step
        while high - low > 1e-3 * (high - largest) and high - low > 2 * math.ulp(max(abs(low), abs(high))):
            middle = (low + high) / 2
            low, high = (low, middle) if self._exceeds(middle, component) else (middle, high)
        return high

    @cached_property
    def floor(self) -> float:
        """Return a rounding error of T, which is never zero."""
        size = max(float(np.abs(self.diagonal).max()), float(self.beside[:-1].max(initial=0.0)))
        return max(float(np.finfo(float).eps) * size, float(np.finfo(float).tiny))

    def _exceeds(self, x: float, component: float) -> bool:
        """Return whether ``component² K(x) > 1``; the sum is left as soon as it is, so that it cannot overflow."""
        before, q, total, limit, back = 0.0, 1.0, 1.0, component**-2, 0.0
        for a, b in self._coefficients:
            if total > limit:
                return True
            before, q = q, ((x - a) * q - back * before) / b
            total, back = total + (q * q if abs(q) < 1e100 else math.inf), b
        return total > limit

    @cached_property
    def _coefficients(self) -> list[tuple[float, float]]:
        return list(zip(self.diagonal.tolist(), np.maximum(self.beside, self.floor).tolist(), strict=True))


def lanczos(
    operator: Operator, starts: Tensor, steps: int, enough: Callable[[Krylov], bool] | None = None
) -> list[Krylov]:
    """Return up to ``steps`` steps of the Lanczos iteration from each start, with products of all of them at once.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n).
    starts : Tensor, shape (n, p)
        Vectors that are not zero.
    steps : int
        Products that may be spent on each start; their vectors, ``8 n p · steps`` bytes, are kept.
    enough : callable, optional
        Is asked after every fifth step, and ends an iteration if it returns True.

    Raises
    ------
    InputError
        If products are not finite or not those of a symmetric operator, or if the vectors do not fit in memory.
    """
    n, p = starts.shape
    require(8.0 * n * p * min(steps, n), f"keeping {p * min(steps, n)} vectors of {n} numbers")
    unit = torch.finfo(operator.dtype).eps
    runs = [_Iteration(starts[:, i], min(steps, n), unit) for i in range(p)]
    active = runs
    while active:
        W = (operator @ torch.stack([run.vector for run in active], 1).to(operator.dtype)).double()
        if not bool(torch.isfinite(W).all()):
            raise InputError("the operator gave products that are not finite, expected finite numbers")
        active = [run for run, w in zip(active, W.unbind(1), strict=True) if run.goes_on(w, enough)]
    return [run.krylov for run in runs]


def least_component(n: int, failure: float) -> float:
    """Return what a given component of a uniform unit vector exceeds in size with probability ``1 − failure``.

    Its square has the law Beta(1/2, (n−1)/2). In one dimension the component is 1.
    """
    if n == 1:
        return 1.0
    return math.sqrt(max(float(betaincinv(0.5, (n - 1) / 2, failure)), np.finfo(float).tiny))


class _Iteration:
    """One Lanczos iteration: each vector is orthogonalised twice against all before it."""

    def __init__(self, start: Tensor, steps: int, unit: float) -> None:
        self.basis = torch.empty(steps, start.numel(), dtype=torch.float64, device=start.device)
        self.vector = start.double() / torch.linalg.vector_norm(start.double())
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.unit, self.dropped, self.size = unit, 0.0, 0.0

    def goes_on(self, w: Tensor, enough: Callable[[Krylov], bool] | None) -> bool:
        """Take the product with ``vector``, make the next one of it, and return whether there is one."""
        j = len(self.diagonal)
        self.basis[j] = self.vector
        basis = self.basis[: j + 1]
        self.size = max(self.size, float(torch.linalg.vector_norm(w)))
        along = basis @ w
        w = w - basis.T @ along
        w = w - basis.T @ (basis @ w)
        rest = along[:j].clone()
        if j:
            rest[-1] -= self.beside[-1]
        self.dropped += float(rest @ rest)
        if self.dropped**0.5 > ASYMMETRY * self.size:
            raise InputError(
                f"the operator is not symmetric (relative difference {self.dropped**0.5 / self.size:.1e}), "
                "expected a symmetric one"
            )
        self.diagonal.append(float(along[j]))
        self.beside.append(float(torch.linalg.vector_norm(w)))
        if self.exhausted or j + 1 == len(self.basis) or (enough and j % 5 == 4 and enough(self.krylov)):
            return False
        self.vector = w / self.beside[-1]
        return True

    @property
    def exhausted(self) -> bool:
        return self.beside[-1] <= ZERO * self.unit * self.size or len(self.diagonal) == self.basis.shape[1]

    @property
    def krylov(self) -> Krylov:
        rounding = 2 * self.dropped**0.5 + ZERO * self.unit * self.size
        return Krylov(np.array(self.diagonal), np.array(self.beside), rounding, self.exhausted)
