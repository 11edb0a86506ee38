"""Fits of estimators for the commands: whether they converged, their intervals, and the results of earlier commands."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from flatmin._core.arrays import Array
from flatmin._core.progress import progress
from flatmin.cli.output import ResultsKind
from flatmin.errors import InputError

__all__ = ["MODEL", "comparing", "coverage_rows", "earlier_results", "fit_fields", "fitted", "intervals"]

#: The file of the estimator in a directory of results.
MODEL = "model.npz"

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


@contextmanager
def comparing(noun: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show progress while an estimator is compared on held-out data, which ``noun`` names, such as "cells".

    The function that is given takes the number of finished folds, and of all folds. If these are equal, it says that
    all data are fitted.
    """

    def words(state: Mapping[str, Any]) -> Iterator[str]:
        done, total = state["done"], state["total"]
        yield f"comparing on held-out {noun}: {done} of {total}" if done < total else f"fitting all {noun}"

    with progress(not quiet, words) as show:

        def watch(done: int, total: int) -> None:
            if show is not None:
                show({"done": done, "total": total})

        yield watch


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


def earlier_results(directory: Path, kind: ResultsKind, read: Callable[[dict[str, Any]], Found]) -> Found:
    """Return what ``read`` takes from the summary of earlier results that have a model, or raise `InputError`."""
    try:
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        if not kind.fields <= summary.keys():
            raise KeyError
        found = read(summary)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the --model {directory} holds no results of flatmin {kind.command}") from error
    if not (directory / MODEL).is_file():
        raise InputError(f"the --model {directory} has no {MODEL}; it was made by another model, pass that one")
    return found
