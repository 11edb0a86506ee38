"""The Lanczos iteration: what a symmetric operator does to one vector, as a small tridiagonal matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov
from flatmin.nn.estimators.base import Operator

__all__ = ["lanczos"]

#: Products may disagree with those of a symmetric operator by this, relatively to its size.
ASYMMETRY = 1e-2
#: A residual below so many rounding errors is zero: all that the start reaches has been seen.
ZERO = 32


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
