"""The Lanczos iteration for several start vectors at once, with reorthogonalization as far as memory allows."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov
from flatmin.nn.estimators.base import Operator

__all__ = ["lanczos"]

#: An operator counts as symmetric if the relative asymmetry of its products is at most this.
MAX_ASYMMETRY = 1e-2
#: A residual below this number of rounding units counts as zero; the Krylov space of the start is then exhausted.
ZERO_UNITS = 32
#: Largest memory of the vectors of one iteration, in bytes; further vectors are not kept. None are if this is less than
#: the number of vectors below, with which orthogonality would soon be lost.
_BASIS_MEMORY, _MIN_KEPT = 1 << 31, 8

_log = logging.getLogger(__name__)


def lanczos(
    operator: Operator, starts: Tensor, steps: int, enough: Callable[[Krylov], bool] | None = None
) -> list[Krylov]:
    """Return up to ``steps`` steps of the Lanczos iteration from each start (n, p); all starts are multiplied at once.

    The vectors of an iteration are kept for reorthogonalization until they need more than 2 GiB. From then on each one
    follows from the two before it, and they need not be orthogonal (`Krylov.orthonormal`). Vectors of more than 256 MiB
    are never kept if there are more than 8 steps. After every fifth step an
    iteration ends if ``enough`` returns true. An interrupt (Ctrl-C) after the first step ends all iterations.
    `InputError` is raised if a product is not finite or the operator is not symmetric.
    """
    n, p = starts.shape
    unit = torch.finfo(operator.dtype).eps
    runs = [_Iteration(starts[:, i], min(steps, n), unit) for i in range(p)]
    active = runs
    while active:
        try:
            W = _products(operator, active)
        except KeyboardInterrupt:
            if not active[0].diagonal:
                raise
            _log.warning("interrupted after %d steps, whose bounds are returned", len(active[0].diagonal))
            break
        active = [run for run, w in zip(active, W.unbind(1), strict=True) if run.step(w, enough)]
    return [run.krylov for run in runs]


def _products(operator: Operator, active: list["_Iteration"]) -> Tensor:
    W = (operator @ torch.stack([run.vector.to(operator.dtype) for run in active], 1)).double()
    if not bool(torch.isfinite(W).all()):
        raise InputError("the operator gave products that are not finite, expected finite numbers")
    return W


class _Iteration:
    """One Lanczos iteration; each vector is orthogonalized twice against all previous ones while these are kept."""

    def __init__(self, start: Tensor, steps: int, unit: float) -> None:
        kept = min(steps, _BASIS_MEMORY // (8 * start.numel()))
        kept = 0 if kept < min(steps, _MIN_KEPT) else kept
        self.basis = torch.empty(kept, start.numel(), dtype=torch.float64, device=start.device)
        self.steps = steps
        self.before = start  # the previous vector, if it is not kept
        self.vector = start.double() / torch.linalg.vector_norm(start.double())
        self.diagonal: list[float] = []
        self.off_diagonal: list[float] = []
        self.unit, self.dropped, self.size = unit, 0.0, 0.0

    def step(self, w: Tensor, enough: Callable[[Krylov], bool] | None) -> bool:
        """Take w, the operator times ``vector``; set ``vector`` to the next one, and return whether to go on."""
        j = len(self.diagonal)
        self.size = max(self.size, float(torch.linalg.vector_norm(w)))
        if j and j == len(self.basis):
            self.basis = self.basis[:0].clone()  # the recurrence does not need the vectors
        if len(self.basis):
            self.basis[j] = self.vector
            basis = self.basis[: j + 1]
            along = basis @ w
            w = w - basis.T @ along
            w = w - basis.T @ (basis @ w)
        else:
            pair = [self.before, self.vector] if j else [self.vector]
            along = torch.stack([v.double() @ w for v in pair])
            for size, v in zip(along.tolist(), pair, strict=True):
                w = w.sub_(v, alpha=size)
        rest = along[:-1].clone()
        if j:
            rest[-1] -= self.off_diagonal[-1]
        self.dropped += float(rest @ rest)
        if self.dropped**0.5 > MAX_ASYMMETRY * self.size:
            raise InputError(
                f"the operator is not symmetric (relative difference {self.dropped**0.5 / self.size:.1e}), "
                "expected a symmetric one"
            )
        self.diagonal.append(float(along[-1]))
        self.off_diagonal.append(float(torch.linalg.vector_norm(w)))
        if self.exhausted or j + 1 == self.steps or (enough and j % 5 == 4 and enough(self.krylov)):
            return False
        self.before, self.vector = self.vector, w.div_(self.off_diagonal[-1])
        return True

    @property
    def exhausted(self) -> bool:
        return self.off_diagonal[-1] <= ZERO_UNITS * self.unit * self.size or len(self.diagonal) == self.basis.shape[1]

    @property
    def krylov(self) -> Krylov:
        rounding = 2 * self.dropped**0.5 + ZERO_UNITS * self.unit * self.size
        arrays = np.array(self.diagonal), np.array(self.off_diagonal)
        return Krylov(*arrays, rounding, self.exhausted, orthonormal=len(self.basis) > 0)
