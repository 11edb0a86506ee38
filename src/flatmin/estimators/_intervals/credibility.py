"""Credibility: empirical-Bayes means of groups, such as the mean squared errors of rows and of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["Credibility"]

#: The smallest and the largest number of observations that the overall mean can count for.
LEAST_PRIOR, MOST_PRIOR = 1.0, 1e12


@dataclass(frozen=True, eq=False)
class Credibility:
    """Means of groups, each pulled to the overall mean as by ``prior`` observations of the overall mean.

    ``prior`` is the variance within groups over the variance between the groups' true means, both estimated without
    bias. It is large if groups hardly differ, or if the observations have heavy tails.

    Attributes
    ----------
    mean, prior : float
        The overall mean and the number of observations that it counts for.
    sums, counts : ndarray, shape (groups,)
        Sum and number of the observations of every group. An observation of weight k counts as k observations.

    References
    ----------
    Bühlmann, Straub, "Glaubwürdigkeit für Schadensätze", Mitteilungen der Vereinigung Schweizerischer
    Versicherungsmathematiker 70, 1970.

    Examples
    --------
    >>> found = Credibility.from_groups(np.array([1.0, 1.2, 3.0, 3.2]), np.array([0, 0, 1, 1]), 3)
    >>> found.estimates.round(2)
    array([1.43, 2.77, 2.1 ])
    """

    mean: float
    prior: float
    sums: Array
    counts: Array

    @classmethod
    def from_groups(cls, values: Array, group: Array, groups: int, weights: Array | float = 1.0) -> Self:
        """Estimate the means of groups from values (n,) with the group and the weight of each."""
        weights = weights * np.ones(len(values))
        sums, counts = np.bincount(group, weights * values, groups), np.bincount(group, weights, groups)
        means = sums / np.maximum(counts, 1)
        return cls.from_sums(sums, counts, float(weights @ (values - means[group]) ** 2))

    @classmethod
    def from_sums(cls, sums: Array, counts: Array, squares: float) -> Self:
        """Estimate the means from sums and numbers by group, and the sum of squared deviations from group means."""
        total, present = float(np.sum(counts)), int(np.count_nonzero(counts))
        mean, means = float(np.sum(sums)) / total, sums / np.maximum(counts, 1)
        within = squares / max(total - present, 1)
        spread = float(counts @ (means - mean) ** 2) - (present - 1) * within
        between = spread / max(total - float(counts @ counts) / total, 1.0)
        prior = min(max(within / between, LEAST_PRIOR), MOST_PRIOR) if between > 0 else MOST_PRIOR
        return cls(mean, prior, sums, counts)

    @property
    def estimates(self) -> Array:
        """The means of the groups, shape (groups,); the overall mean for a group without observations."""
        return np.asarray((self.prior * self.mean + self.sums) / (self.prior + self.counts))

    def without(self, values: Array, group: Array, weights: Array | float = 1.0) -> Array:
        """Return the mean (n,) of the group of each of the values, estimated without this value."""
        others = self.prior * self.mean + self.sums[group] - weights * values
        return np.asarray(others / (self.prior + self.counts[group] - weights))
