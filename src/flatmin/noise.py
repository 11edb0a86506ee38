"""What is found out about noise whose level nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin.metric import Array
from flatmin.parametrizations.base import Factors

__all__ = ["Noise", "relative_error"]


@dataclass(frozen=True, eq=False)
class Noise:
    """What ``flat_minimum(problem, alpha="auto")`` says of the noise, beside the penalised solution.

    Attributes
    ----------
    sigma : float or None
        Standard deviation of the noise in one measurement, in the units of the data, from the residual of the refit and
        its degrees of freedom; None where a matrix of this rank fits any data.
    std_error : float or None
        Standard error of ``sigma``, from the spread of the squared residuals, so that heavy tails make it larger.
    alpha : float
        The strength that the rule chose.
    threshold : float
        The 95 % quantile of ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over random g: what noise can do by itself.
    unevenness : float
        That over its value for Gaussian noise, at least 1: what is above comes from heavy tails, or from noise that is
        larger in some measurements.
    refit : tuple of ndarray
        Factors of the least-squares fit at `rank`: without the bias of the penalty, and **not certified**, since
        least squares at a fixed rank may have local minima.
    rank : int
        The rank of the refit: the smallest one, near that of the penalised solution, whose residual passes for noise.
    penalised_rank : int
        The rank of the penalised solution.
    freedom : int
        Degrees of freedom of matrices of the refit's rank.
    selects : bool
        Whether the penalty selects a rank. Where the data determine the trace it does not; the strength is then what
        noise of the level of the refit's residual can do. Nor does it where many gross errors enlarge its rank.

    Notes
    -----
    For the loss `Absolute` the threshold is divided by ``√m``, and the noise is that of the cells that are no gross
    errors. For `Hadamard` models rank and freedom are the size of the support.
    """

    sigma: float | None
    std_error: float | None
    alpha: float
    threshold: float
    unevenness: float
    refit: Factors
    rank: int
    penalised_rank: int
    freedom: int
    selects: bool = True

    @property
    def agrees(self) -> bool:
        """Whether the penalty, where it selects a rank, and the test of residuals agree; if not, it is in doubt."""
        return self.rank == self.penalised_rank or not self.selects

    def scalars(self) -> Mapping[str, Any]:
        """Return all but the factors."""
        return {name: value for name, value in vars(self).items() if name != "refit"}


def relative_error(residual: Array, free: int) -> float:
    """Return the relative standard error of the root mean square of independent numbers, 0 if all are 0.

    It comes from the spread of their squares, with ``free`` degrees of freedom, in units in which those neither
    overflow nor vanish.
    """
    largest = float(np.max(np.abs(residual), initial=0.0))
    squares = (residual / (largest or 1.0)) ** 2
    mean = float(squares.mean())
    return float(np.sqrt(max(squares.var() / mean**2, 0.0) / (4 * free))) if mean else 0.0
