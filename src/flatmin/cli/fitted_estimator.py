"""Fits of estimators for the commands: whether they converged, their intervals, and the results of earlier commands."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from flatmin._core.arrays import Array
from flatmin._core.progress import progress, spoken
from flatmin.cli.output import ResultsKind, read_summary
from flatmin.errors import InputError

__all__ = [
    "MODEL",
    "RANGE",
    "FoldClock",
    "are_outside",
    "comparing",
    "coverage_rows",
    "earlier_results",
    "fit_fields",
    "fitted",
    "intervals",
    "numbers_of",
]

#: The file of the estimator in a directory of results.
MODEL = "model.npz"
#: Rounding errors of predictions relative to the range of known values.
ROUNDING = 1e-9
#: Time of a fit to all data, in units of that of a fit without a fold of a fifth.
WHOLE = 1.25
#: Fields of a summary that describe known values; these are never missing.
RANGE = ("whole", "smallest", "largest", "mean", "spread")
#: Number of seconds after which the line of progress is written again.
TICK = 1.0

Estimator = TypeVar("Estimator", bound=Any)
Found = TypeVar("Found")


def fitted(estimator: Estimator, *data: Array) -> tuple[Estimator, bool]:
    """Fit an estimator to data, and return it and whether it converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(*data)
    return estimator, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def intervals(estimator: Any, X: Array, confidence: float, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the bounds of intervals, of a given shape; NaN if too few values can be held out to calibrate them."""
    try:
        low, high = estimator.predict_interval(X, confidence_level=confidence)
    except InputError:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    return np.asarray(low), np.asarray(high)


def are_outside(values: Array, low: Array | float, high: Array | float) -> Array:
    """Return which predictions are outside the range of known values by more than rounding errors."""
    rounding = ROUNDING * np.maximum(np.abs(low), np.abs(high))
    return np.asarray((values < low - rounding) | (values > high + rounding))


@dataclass
class FoldClock:
    """The expected time of fits to folds and to all data; a fit takes a time proportional to the data it is given."""

    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.perf_counter)
    finished: float | None = None

    def watch(self, done: int, total: int) -> None:
        """Note the number of finished folds, and of all folds."""
        now = time.perf_counter()
        self.finished = now if done else None
        self.done, self.total = done, total

    def words(self, noun: str) -> str:
        """Return what is done now, and the time left, which is known after the first fold."""
        of_folds = f"comparing on held-out {noun}: {self.done} of {self.total}"
        doing = of_folds if self.done < self.total else f"fitting all {noun}"
        now = time.perf_counter()
        if self.finished is None:
            return f"{doing}, {spoken(now - self.started)}"
        of_fold = (self.finished - self.started) / self.done
        left = of_fold * (self.total - self.done + WHOLE) - (now - self.finished)
        return f"{doing}, about {spoken(left)} left" if left > 0 else f"{doing}, longer than expected"


@contextmanager
def comparing(noun: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show progress while an estimator is compared on held-out data, which ``noun`` names, such as "cells".

    The function that is given takes the number of finished folds, and of all folds. If these are equal, all data are
    fitted. The line is written again every second, with the expected time left.
    """
    clock, ended = FoldClock(), threading.Event()
    with progress(not quiet, lambda state: [clock.words(noun)]) as show:

        def watch(done: int, total: int) -> None:
            clock.watch(done, total)
            if show is not None:
                show({"done": done, "total": total})

        def tick() -> None:
            while show is not None and not ended.wait(TICK):
                if clock.total:
                    show({"done": clock.done, "total": clock.total})

        ticking = threading.Thread(target=tick, daemon=True)
        ticking.start()
        try:
            yield watch
        finally:
            ended.set()
            ticking.join()


def fit_fields(estimator: Any, converged: bool) -> dict[str, Any]:
    """Return the fields of ``summary.json`` about a fit."""
    return {
        "rank": estimator.rank_,
        "status": estimator.status_.name,
        "converged": converged,
        "alpha": estimator.alpha_,
        "predicts": None if estimator.relaxation_ is None else estimator.relaxation_.chosen,
        "certificate": None if estimator.certificate_ is None else estimator.certificate_.scalars(),
        "seed": estimator.random_state,
    }


def coverage_rows(summary: Mapping[str, Any], held_out: str) -> dict[str, str]:
    """Return the rows of the printed table about intervals; ``held_out`` names what they contain, with its number."""
    found, rows = summary["held_out"], {}
    if found["coverage"] is not None:
        level, share = (f"{100 * found[name]:.3g} %" for name in ("confidence", "coverage"))
        asked = f"{100 * summary['confidence']:.3g} %"
        they = "they" if level == asked else f"those for {level}"
        rows["intervals"] = f"{asked} asked for; {they} contain {share} of {held_out}"
    if summary["model"] is not None:
        rows["measured"] = f"when the model in {summary['model']} was fitted"
    return rows


def numbers_of(fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return these fields of a summary, or raise `TypeError` if one that is present, or must be, is no number."""
    found = {name: fields[name] for name in names}
    for name, value in found.items():
        if not isinstance(value, int | float) and (value is not None or name in RANGE):
            raise TypeError(f"{name} is no number")
    return found


def earlier_results(directory: Path, kind: ResultsKind, read: Callable[[dict[str, Any]], Found]) -> Found:
    """Return what ``read`` takes from the summary of earlier results that have a model, or raise `InputError`."""
    nothing = f"the --model {directory} holds no results of flatmin {kind.command}"
    try:
        summary = read_summary(directory)
    except InputError as error:
        raise InputError(f"{nothing}: {error}") from error
    try:
        if not kind.fields <= summary.keys():
            raise KeyError
        found = read(summary)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(nothing) from error
    if not (directory / MODEL).is_file():
        raise InputError(f"the --model {directory} has no {MODEL}; it was made by another model, pass that one")
    return found
