"""Does an estimator of traces keep what it states? A test of anyone's on operators whose trace is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, stdtr
from torch import Tensor

from flatmin.errors import InputError
from flatmin.nn.estimators.base import Operator
from flatmin.testing.torch.cases import TraceCase, trace_cases

__all__ = ["LEAST", "MOST", "TraceCheck", "TraceScore", "check_trace_estimator"]

#: Share of 95 % intervals that must cover, and that may.
LEAST, MOST = 0.94, 0.99

#: Relative error below which a result is exact; tests that are made of one case.
_ROUNDING, _TESTS = 1e-9, 3


@dataclass(frozen=True)
class TraceScore:
    """What repeated runs of an estimator on one case say.

    Attributes
    ----------
    name : str
        The case.
    trials : int
        Runs, each with a seed of its own.
    error : float
        Root of the mean square error, in the units of the trace.
    relative_error : float
        The same in units of the trace's size; infinite where the trace is 0.
    bias : float
        Mean error in its standard errors: beyond ±2 in one honest case of twenty.
    coverage : float
        Share of intervals that contain the trace.
    exact : float
        Share of runs without any error but rounding.
    products : float
        Mean number of products that were counted.
    faults : tuple of str
        What was found wrong, a sentence each.
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
    def of(cls, name: str, trace: float, results: Sequence[Any], counted: Sequence[int], level: float) -> TraceScore:
        """Score results, objects with ``value``, ``interval``, ``n_products``; a false alarm has chance ``level``."""
        found = np.array([[r.value, *r.interval, r.n_products] for r in results], dtype=float)
        if not np.isfinite(found).all():
            lost, products = ("a number is not finite",), float(np.mean(counted))
            return cls(name, len(found), np.inf, np.inf, np.inf, 0.0, 0.0, products, lost)
        errors, low, high = found[:, 0] - trace, found[:, 1], found[:, 2]
        slack = _ROUNDING * np.maximum(abs(trace), np.abs(found[:, :3]).max(1))
        covers = (low - slack <= trace) & (trace <= high + slack)
        exact = np.abs(errors) <= slack
        bias = _in_standard_errors(errors, float(slack.mean()))
        faults = [
            *_interval_faults(covers, exact, level / _TESTS),
            *_bias_faults(bias, len(errors), level / _TESTS),
            *_cost_faults(found[:, 3], np.asarray(counted)),
        ]
        if not exact.all() and len(np.unique(found[:, 0])) <= len(errors) // 2:
            faults.append("different seeds give the same value: the seed is not used")
        error = float(np.sqrt((errors**2).mean()))
        return cls(
            name=name,
            trials=len(errors),
            error=error,
            relative_error=error / abs(trace) if trace else np.inf,
            bias=bias,
            coverage=float(covers.mean()),
            exact=float(exact.mean()),
            products=float(np.mean(counted)),
            faults=tuple(faults),
        )


@dataclass(frozen=True)
class TraceCheck:
    """What `check_trace_estimator` found: a score for each case."""

    scores: tuple[TraceScore, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Every fault, with the case where it showed."""
        return tuple(f"{score.name}: {fault}" for score in self.scores for fault in score.faults)

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
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
    """Test an estimator of traces, anyone's, for what it states: its interval, its cost, its seed; and for bias.

    It is run many times on every case, and sees of it nothing but products, which are counted. Found are, by tests at
    a joint level: 95 % intervals that cover less than 94 % or more than 99 %, by a binomial test (runs without any
    error do not count for the second); a mean that is not the trace, by a t-test; more or fewer products than stated,
    or than allowed; a seed that is ignored, or does not repeat. What is smaller than the noise of the trials is not
    found: with 400 trials a coverage of 90 % sometimes, of 85 % always; too wide intervals only with some 800.

    Parameters
    ----------
    estimator : function
        ``estimator(operator, max_products=…, seed=…)``, which returns ``value``, ``interval`` (95 %) and ``n_products``
        as attributes. The operator has ``shape``, ``dtype``, ``device`` and ``@``. Those of flatmin fit:
        ``partial(flatmin.nn.spectrum.trace.operator_trace, method="xtrace")``.
    cases : iterable of TraceCase, optional
        Operators with known trace; `trace_cases` by default.
    max_products : int
        What a run may spend.
    trials : int
        Runs on each case, at least 50.
    seed : int
        The first seed; others follow.
    level : float
        Probability with which an honest estimator is accused of anything.

    Raises
    ------
    InputError
        If an argument is out of range, or the estimator returns something else.

    Examples
    --------
    >>> from functools import partial
    >>> from flatmin.nn.spectrum.trace import operator_trace
    >>> honest = partial(operator_trace, method="hutchinson")
    >>> check_trace_estimator(honest, trace_cases()[:2], trials=50).holds
    True
    >>> from dataclasses import replace
    >>> def liar(operator, **limits):
    ...     found = honest(operator, **limits)
    ...     return replace(found, interval=(found.value - found.std_error, found.value + found.std_error))
    >>> check_trace_estimator(liar, trace_cases()[:1], trials=100).faults
    ('alike: of 95 % intervals 0.72 cover',)
    """
    for key, number, least in (("trials", trials, 50), ("max_products", max_products, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"{key} is {number!r}, expected a whole number of at least {least}")
    if not isinstance(level, float) or not 0 < level < 1:
        raise InputError(f"level is {level!r}, expected a number between 0 and 1")
    chosen = trace_cases() if cases is None else tuple(cases)
    if not chosen or not all(isinstance(case, TraceCase) for case in chosen):
        raise InputError(
            "cases holds something else than cases, expected TraceCase(name, operator, trace), one at least"
        )
    run = partial(_run, estimator, max_products)
    scores = []
    for case in chosen:
        results, counted = zip(*(run(case.operator, seed + t) for t in range(trials)), strict=True)
        score = TraceScore.of(case.name, case.trace, results, counted, level / len(chosen))
        more = []
        if max(counted) > max_products:
            more.append(f"{max(counted)} products were spent, {max_products} were allowed")
        again = run(case.operator, seed)[0]
        if (again.value, tuple(again.interval)) != (results[0].value, tuple(results[0].interval)):
            more.append("the same seed gives another result")
        scores.append(replace(score, faults=(*score.faults, *more)))
    return TraceCheck(tuple(scores))


class _Counted:
    """An operator of which nothing is seen but its products, which are counted."""

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


def _in_standard_errors(errors: np.ndarray, rounding: float) -> float:
    """Return the mean error in its standard errors, those of rounding at least."""
    floor = max(rounding, np.finfo(float).tiny)
    return float(errors.mean() / max(errors.std(ddof=1) / len(errors) ** 0.5, floor))


def _interval_faults(covers: np.ndarray, exact: np.ndarray, level: float) -> list[str]:
    """Compare the number of intervals that cover with the least and the most, of those that are not exact."""
    inexact = covers[~exact]
    few = bdtr(covers.sum(), len(covers), LEAST)
    many = bdtrc(inexact.sum() - 1, len(inexact), MOST) if len(inexact) else 1.0
    if few <= level / 2:
        return [f"of 95 % intervals {covers.mean():.2f} cover"]
    if many <= level / 2:
        return [f"of 95 % intervals {inexact.mean():.3f} cover: they are too wide"]
    return []


def _bias_faults(bias: float, trials: int, level: float) -> list[str]:
    p = 2 * stdtr(trials - 1, -abs(bias))
    return [f"the mean is {bias:+.1f} standard errors off: there is a bias"] if p <= level else []


def _cost_faults(stated: np.ndarray, counted: np.ndarray) -> list[str]:
    wrong = np.flatnonzero(stated != counted)
    return [f"{counted[wrong[0]]} products were spent, {stated[wrong[0]]:.0f} stated"] if len(wrong) else []
