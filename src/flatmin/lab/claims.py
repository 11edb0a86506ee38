"""Claim: a statement that a number lies on one side of a limit, decided by the confidence interval of the number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from flatmin.errors import InputError

__all__ = ["Claim", "interval", "share_interval", "shared_level"]


@dataclass(frozen=True)
class Claim:
    """A statement that a number lies below or above a limit, with the confidence interval that decides it.

    The limit is either ``below`` or ``above``. A number without a random error has ``low = estimate = high``.

    Examples
    --------
    >>> Claim.from_mean("the error is small", [0.1, 0.2, 0.15], below=1).verdict
    'holds'
    >>> print(Claim.exact("the trace stays", 2.0, below=1))
    FAILS      the trace stays: 2, expected at most 1
    """

    text: str
    estimate: float
    low: float
    high: float
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        if (self.below is None) == (self.above is None):
            raise InputError(f"the claim {self.text!r} has below={self.below!r} and above={self.above!r}, expected one")

    @classmethod
    def exact(cls, text: str, value: float, **limit: float) -> Claim:
        """Return a claim about a number without a random error."""
        value = float(value)
        return cls(text, value, value, value, **limit)

    @classmethod
    def from_largest(cls, text: str, values: Iterable[float], **limit: float) -> Claim:
        """Return a claim about the largest of these numbers; without numbers it is undecided."""
        found = list(values)
        return cls.exact(text, max(found), **limit) if found else cls.open(text, **limit)

    @classmethod
    def from_smallest(cls, text: str, values: Iterable[float], **limit: float) -> Claim:
        """Return a claim about the smallest of these numbers; without numbers it is undecided."""
        found = list(values)
        return cls.exact(text, min(found), **limit) if found else cls.open(text, **limit)

    @classmethod
    def from_mean(cls, text: str, values: Iterable[float], *, level: float = 0.95, **limit: float) -> Claim:
        """Return a claim about the mean of independent repetitions, by Student's interval of two or more values."""
        values = np.asarray(list(values), dtype=float)
        if not values.size:
            return cls.open(text, **limit)
        return cls(text, float(values.mean()), *interval(values, level), **limit)

    @classmethod
    def from_share(cls, text: str, outcomes: Iterable[bool], *, level: float = 0.95, **limit: float) -> Claim:
        """Return a claim about the probability of an event, by the exact binomial interval of the outcomes."""
        outcomes = list(outcomes)
        return cls.from_count(text, sum(outcomes), len(outcomes), level=level, **limit)

    @classmethod
    def from_count(cls, text: str, successes: int, trials: int, *, level: float = 0.95, **limit: float) -> Claim:
        """Return the claim of `from_share` for numbers of successes and trials; without trials it is undecided."""
        if not trials:
            return cls.open(text, **limit)
        return cls(text, float(successes / trials), *share_interval(successes, trials, level), **limit)

    @classmethod
    def open(cls, text: str, **limit: float) -> Claim:
        """Return a claim about a number of which nothing is known; its verdict is "undecided"."""
        return cls(text, math.nan, -math.inf, math.inf, **limit)

    @property
    def verdict(self) -> str:
        """The verdict: "holds" or "fails" if the whole interval is on one side of the limit, else "undecided"."""
        if self.below is not None:
            return "holds" if self.high <= self.below else "fails" if self.low > self.below else "undecided"
        assert self.above is not None
        return "holds" if self.low >= self.above else "fails" if self.high < self.above else "undecided"

    def __str__(self) -> str:
        limit = f"at most {self.below:.3g}" if self.below is not None else f"at least {self.above:.3g}"
        chance = "" if self.low == self.high else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.verdict.upper():<10} {self.text}: {self.estimate:.3g}{chance}, expected {limit}"


def interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of a mean, which is unbounded for fewer than two values."""
    values = np.asarray(list(values), dtype=float)
    if values.size < 2:
        return -math.inf, math.inf
    half = stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(values.size)
    return float(values.mean() - half), float(values.mean() + half)


def share_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for the probability of success.

    Examples
    --------
    >>> low, high = share_interval(10, 10)
    >>> round(low, 3), high
    (0.692, 1.0)
    """
    tail = (1 - level) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return float(low), float(high)


def shared_level(comparisons: int, level: float = 0.95) -> float:
    """Return the level at which each of several intervals must hold so that all hold with ``level`` (Bonferroni).

    Examples
    --------
    >>> round(shared_level(5), 6)
    0.99
    """
    return 1 - (1 - level) / comparisons
