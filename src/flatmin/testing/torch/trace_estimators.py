"""`check_trace_estimator`: a statistical test of trace estimators on operators whose trace is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, stdtr
from torch import Tensor

from flatmin._core.validation import positive, whole_number
from flatmin.errors import InputError
from flatmin.nn.estimators.base import Operator
from flatmin.testing.torch.cases import TraceCase, trace_cases

__all__ = ["MAX_COVERAGE", "MIN_COVERAGE", "TraceCheck", "TraceScore", "check_trace_estimator"]

#: A test rejects 95 % intervals whose coverage is below the first number or above the second.
MIN_COVERAGE, MAX_COVERAGE = 0.94, 0.99
#: A result counts as exact if its relative error is below this.
_ROUNDING = 1e-9
#: Number of statistical tests on one case, which share the probability of a false alarm.
_TESTS = 3


@dataclass(frozen=True)
class TraceScore:
    """Accuracy, coverage and faults of an estimator on one case, from repeated runs.

    ``error`` is the root of the mean square error, in the units of the trace. ``relative_error`` is ``error`` divided
    by the absolute trace, and infinite if the trace is 0. ``bias`` is the mean error divided by its standard error; for
    an unbiased estimator it is beyond ±2 in one case of twenty. ``coverage`` is the share of runs whose interval
    contains the trace, and ``exact`` the share of runs whose error is only rounding. ``products`` is the mean number of
    products that were counted in a run. ``faults`` has one sentence for each fault.
    """

    name: str
    trials: int
    error: float
    relative_error: float
    bias: float
    coverage: float
    exact: float
    products: float
    faults: tuple[str, ...]

    @classmethod
    def from_results(
        cls, name: str, trace: float, results: Sequence[Any], counted: Sequence[int], level: float
    ) -> TraceScore:
        """Score results with ``value``, ``interval`` and ``n_products``, at a probability ``level`` of false alarms."""
        found = np.array([[r.value, *r.interval, r.n_products] for r in results], dtype=float)
        trials, products = len(found), float(np.mean(counted))
        if not np.isfinite(found).all():
            return cls(name, trials, np.inf, np.inf, np.inf, 0.0, 0.0, products, ("a number is not finite",))
        errors, low, high = found[:, 0] - trace, found[:, 1], found[:, 2]
        slack = _ROUNDING * np.maximum(abs(trace), np.abs(found[:, :3]).max(1))
        covers = (low - slack <= trace) & (trace <= high + slack)
        exact = np.abs(errors) <= slack
        rounding = max(float(slack.mean()), np.finfo(float).tiny)
        bias = float(errors.mean() / max(errors.std(ddof=1) / trials**0.5, rounding))
        faults = list(_faults(found[:, 0], covers, exact, bias, level / _TESTS))
        wrong = np.flatnonzero(found[:, 3] != counted)
        if len(wrong):
            faults.append(f"{counted[wrong[0]]} products were spent, {found[wrong[0], 3]:.0f} stated")
        error = float(np.sqrt((errors**2).mean()))
        relative = error / abs(trace) if trace else np.inf
        shares = float(covers.mean()), float(exact.mean())
        return cls(name, trials, error, relative, bias, *shares, products, tuple(faults))


@dataclass(frozen=True)
class TraceCheck:
    """The result of `check_trace_estimator`: a score for each case."""

    scores: tuple[TraceScore, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """All faults, each with the name of its case."""
        return tuple(f"{score.name}: {fault}" for score in self.scores for fault in score.faults)

    @property
    def holds(self) -> bool:
        """Whether no fault was detected."""
        return not self.faults

    def __str__(self) -> str:
        """Return the table."""
        rows = ["case                      error    bias  coverage  products"]
        rows += [
            f"{s.name:22.22} {s.relative_error:8.2%} {s.bias:7.1f} {s.coverage:9.3f} {s.products:9.1f}"
            + "".join(f"  {fault}" for fault in s.faults)
            for s in self.scores
        ]
        return "\n".join(rows)


def check_trace_estimator(
    estimator: Callable[..., Any],
    cases: Iterable[TraceCase] | None = None,
    *,
    max_products: int = 60,
    trials: int = 400,
    seed: int = 0,
    level: float = 0.01,
) -> TraceCheck:
    """Test the bias, the intervals, the stated number of products and the use of the seed of any trace estimator.

    The estimator runs many times on each case. The estimator sees only products with the operator, which are counted.
    Detected faults are: 95 % intervals that contain the trace in less than 94 % of all runs, or in more than 99 % of
    the runs with more than rounding errors (binomial tests); a mean that differs from the trace (t-test); a number of
    products that is not the stated one or exceeds ``max_products``; different seeds that give the same value, or the
    same seed that gives different ones. With 400 trials, a coverage of 85 % is always detected and a coverage of 90 %
    sometimes; intervals that are too wide need about 800 trials.

    Parameters
    ----------
    estimator : function
        ``estimator(operator, max_products=…, seed=…)``, which returns ``value``, ``interval`` (95 %) and ``n_products``
        as attributes, such as ``partial(flatmin.nn.spectrum.trace.operator_trace, method="xtrace")``. The operator has
        ``shape``, ``dtype``, ``device`` and ``@``.
    cases : iterable of TraceCase, optional
        Operators with known trace; `trace_cases` by default.
    max_products, trials : int
        Largest number of products in a run, and number of runs on each case, at least 50.
    seed, level : int and float
        The first of consecutive seeds, and the probability of a false alarm for an estimator without faults.

    Raises
    ------
    InputError
        If an argument is out of range, or the result of the estimator lacks an attribute.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from functools import partial
    >>> from flatmin.nn.spectrum.trace import operator_trace
    >>> honest = partial(operator_trace, method="hutchinson")
    >>> check_trace_estimator(honest, trace_cases()[:2], trials=50).holds
    True
    >>> def liar(operator, **limits):
    ...     found = honest(operator, **limits)
    ...     return replace(found, interval=(found.value - found.std_error, found.value + found.std_error))
    >>> check_trace_estimator(liar, trace_cases()[:1], trials=100).faults
    ('similar: of 95 % intervals 0.72 cover',)
    """
    trials, max_products = whole_number(trials, "trials", 50), whole_number(max_products, "max_products", 1)
    seed, level = whole_number(seed, "seed", 0), positive(level, "level", below=1)
    chosen = trace_cases() if cases is None else tuple(cases)
    if not chosen or not all(isinstance(case, TraceCase) for case in chosen):
        raise InputError("cases does not hold test cases, expected at least one TraceCase(name, operator, trace)")
    run = partial(_run, estimator, max_products)
    scores = []
    for case in chosen:
        results, counted = zip(*(run(case.operator, seed + t) for t in range(trials)), strict=True)
        score = TraceScore.from_results(case.name, case.trace, results, counted, level / len(chosen))
        more = []
        if max(counted) > max_products:
            more.append(f"{max(counted)} products were spent, {max_products} were allowed")
        again = run(case.operator, seed)[0]
        if (again.value, tuple(again.interval)) != (results[0].value, tuple(results[0].interval)):
            more.append("the same seed gives another result")
        scores.append(replace(score, faults=(*score.faults, *more)))
    return TraceCheck(tuple(scores))


class _Counted:
    """An operator that counts its products and hides everything else."""

    def __init__(self, operator: Operator) -> None:
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device
        self._multiply: Callable[[Tensor], Tensor] = operator.__matmul__
        self.count = 0

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.count += 1 if vectors.ndim == 1 else vectors.shape[1]
        return self._multiply(vectors)


def _run(estimator: Callable[..., Any], max_products: int, operator: Operator, seed: int) -> tuple[Any, int]:
    counted = _Counted(operator)
    found = estimator(counted, max_products=max_products, seed=seed)
    try:
        numbers = [float(found.value), *map(float, found.interval), int(found.n_products)]
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"the estimator returned a {type(found).__name__} ({error}), expected value, interval and n_products"
        ) from error
    if len(numbers) != 4:
        raise InputError(f"the interval has {len(numbers) - 2} numbers, expected low and high")
    return found, counted.count


def _faults(values: np.ndarray, covers: np.ndarray, exact: np.ndarray, bias: float, level: float) -> Iterator[str]:
    """Yield a sentence for each fault.

    The faults are: the intervals contain the trace too rarely; the intervals of inexact estimates contain the trace too
    often; the mean is biased; different seeds give the same value.
    """
    trials, inexact = len(values), covers[~exact]
    if bdtr(covers.sum(), trials, MIN_COVERAGE) <= level / 2:
        yield f"of 95 % intervals {covers.mean():.2f} cover"
    elif len(inexact) and bdtrc(inexact.sum() - 1, len(inexact), MAX_COVERAGE) <= level / 2:
        yield f"of 95 % intervals {inexact.mean():.3f} cover: they are too wide"
    if 2 * stdtr(trials - 1, -abs(bias)) <= level:
        yield f"the mean is {bias:+.1f} standard errors off: there is a bias"
    if len(inexact) and len(np.unique(values)) <= trials // 2:
        yield "different seeds give the same value: the seed is not used"
