"""What is found out about noise whose level nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flatmin.parametrizations.base import Factors

__all__ = ["Noise"]


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
        The 95 % quantile of ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over Gaussian noise g: what noise alone can do.
    refit : tuple of ndarray
        Factors of the least-squares fit at `rank`: without the bias of the penalty, and **not certified**, since
        least squares at a fixed rank may have local minima.
    rank : int
        The rank of the refit.
    tested_rank : int
        The smallest rank near it whose residual looks like noise alone, by the same threshold.
    freedom : int
        Degrees of freedom of matrices of that rank.
    """

    sigma: float | None
    std_error: float | None
    alpha: float
    threshold: float
    refit: Factors
    rank: int
    tested_rank: int
    freedom: int

    @property
    def agrees(self) -> bool:
        """Whether the penalty and the test found the same rank; if not, neither should be relied on."""
        return self.rank == self.tested_rank

    def scalars(self) -> Mapping[str, Any]:
        """Return all but the factors."""
        return {name: value for name, value in vars(self).items() if name != "refit"}
