"""Rank correlations within instances, and claims about their mean over instances."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from flatmin.lab.claims import Claim

__all__ = ["claim_of_instances", "rank_correlation"]

#: Fewer pairs have no correlation: three are in order by chance one time in three.
FEWEST_PAIRS = 6
#: Rank correlations of few pairs often are the same number, so that from fewer instances an interval may be a point.
FEWEST_INSTANCES = 5


def rank_correlation(x: Any, y: Any, rounding: float = 0.0) -> float | None:
    """Return Spearman's coefficient, or None where there are fewer than six pairs or one side is all the same.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Numbers.
    rounding : float
        Smaller numbers count as this one: they differ by rounding.

    Examples
    --------
    >>> round(rank_correlation([1, 2, 3, 4, 5, 6], [1, 4, 9, 16, 25, 20]), 6)
    0.942857
    >>> rank_correlation([1, 2, 3, 4, 5, 6], [1e-15, 2e-15, 0, 1e-16, 2e-16, 0], rounding=1e-9) is None
    True
    """
    x, y = np.maximum(x, rounding), np.maximum(y, rounding)
    if len(x) < FEWEST_PAIRS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic)


def claim_of_instances(text: str, values: Iterable[float | None], *, level: float = 0.95, **limit: float) -> Claim:
    """Return a claim about the mean over instances of a number that takes few values, such as a rank correlation.

    Parameters
    ----------
    text : str
        The claim.
    values : iterable of float or None
        One an instance, None where it has none. Fewer than five decide nothing.
    level : float
        Of Student's interval.
    limit : float
        ``below`` or ``above``.

    Examples
    --------
    >>> claim_of_instances("the correlation", [0.9, 0.9, None], above=0.5).verdict
    'undecided'
    >>> claim_of_instances("the correlation", [0.9, 0.9, 0.8, 0.9, 1.0], above=0.5).verdict
    'holds'
    """
    known = [value for value in values if value is not None]
    if 0 < len(known) < FEWEST_INSTANCES:
        return Claim(text, float(np.mean(known)), -math.inf, math.inf, **limit)
    return Claim.of_mean(text, known, level=level, **limit)
