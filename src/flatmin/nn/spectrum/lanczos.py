"""The Lanczos iteration with full reorthogonalization, for several start vectors at once."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov
from flatmin.nn.estimators.base import Operator

__all__ = ["lanczos"]

#: An operator counts as symmetric if the relative asymmetry of its products is at most this.
MAX_ASYMMETRY = 1e-2
#: A residual below this number of rounding units counts as zero; the Krylov space of the start is then exhausted.
ZERO_UNITS = 32


def lanczos(
    operator: Operator, starts: Tensor, steps: int, enough: Callable[[Krylov], bool] | None = None
) -> list[Krylov]:
    """Return up to ``steps`` steps of the Lanczos iteration from each start (n, p); all starts are multiplied at once.

    All vectors are kept, ``8 n p · steps`` bytes. After every fifth step an iteration ends if ``enough`` returns true.
    `InputError` is raised if the vectors do not fit in memory, a product is not finite, or the operator is not
    symmetric.
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
        active = [run for run, w in zip(active, W.unbind(1), strict=True) if run.step(w, enough)]
    return [run.krylov for run in runs]


class _Iteration:
    """One Lanczos iteration; each vector is orthogonalized twice against all previous ones."""

    def __init__(self, start: Tensor, steps: int, unit: float) -> None:
        self.basis = torch.empty(steps, start.numel(), dtype=torch.float64, device=start.device)
        self.vector = start.double() / torch.linalg.vector_norm(start.double())
        self.diagonal: list[float] = []
        self.off_diagonal: list[float] = []
        self.unit, self.dropped, self.size = unit, 0.0, 0.0

    def step(self, w: Tensor, enough: Callable[[Krylov], bool] | None) -> bool:
        """Take w, the operator times ``vector``; set ``vector`` to the next one, and return whether to go on."""
        j = len(self.diagonal)
        self.basis[j] = self.vector
        basis = self.basis[: j + 1]
        self.size = max(self.size, float(torch.linalg.vector_norm(w)))
        along = basis @ w
        w = w - basis.T @ along
        w = w - basis.T @ (basis @ w)
        rest = along[:j].clone()
        if j:
            rest[-1] -= self.off_diagonal[-1]
        self.dropped += float(rest @ rest)
        if self.dropped**0.5 > MAX_ASYMMETRY * self.size:
            raise InputError(
                f"the operator is not symmetric (relative difference {self.dropped**0.5 / self.size:.1e}), "
                "expected a symmetric one"
            )
        self.diagonal.append(float(along[j]))
        self.off_diagonal.append(float(torch.linalg.vector_norm(w)))
        if self.exhausted or j + 1 == len(self.basis) or (enough and j % 5 == 4 and enough(self.krylov)):
            return False
        self.vector = w / self.off_diagonal[-1]
        return True

    @property
    def exhausted(self) -> bool:
        return self.off_diagonal[-1] <= ZERO_UNITS * self.unit * self.size or len(self.diagonal) == self.basis.shape[1]

    @property
    def krylov(self) -> Krylov:
        rounding = 2 * self.dropped**0.5 + ZERO_UNITS * self.unit * self.size
        return Krylov(np.array(self.diagonal), np.array(self.off_diagonal), rounding, self.exhausted)
