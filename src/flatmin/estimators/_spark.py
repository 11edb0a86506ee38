"""`PairRegressor` with ``engine="spark"``: its input, and the parameters that Spark's ALS supports."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.estimators._pairs.ids import PairIds
from flatmin.proofs.certificate import LARGEST_GAP, check_alpha
from flatmin.spark import SparkCompletion
from flatmin.spark.session import is_frame

__all__ = ["ENGINES", "engine_of", "is_source", "spark_fit"]

ENGINES = ("auto", "local", "spark")


def engine_of(engine: Any) -> str:
    """Return "local" or "spark", or raise `InputError`."""
    if not isinstance(engine, str) or engine not in ENGINES:
        raise InputError(f"engine is {engine!r}, expected 'auto', 'local' or 'spark'")
    return "local" if engine == "auto" else engine


def is_source(X: Any) -> bool:
    """Return whether X is a Spark DataFrame or a path, which only Spark reads."""
    return is_frame(X) or isinstance(X, str | Path)


def spark_fit(
    X: Any, y: Any, sample_weight: Any, parameters: dict[str, Any], seed: int, watched: Callable[[float], Any]
) -> tuple[SparkCompletion, PairIds]:
    """Fit triples by Spark, and return the fit with the ids of its rows and columns.

    ``parameters`` are those of `PairRegressor`; `InputError` names one that Spark's ALS does not support.
    ``watched(gap)`` is a context that yields the callback of the sweeps, which end at that gap.
    """
    alpha = _checked(parameters, sample_weight)
    max_rank, max_iter, tol = (parameters[name] for name in ("max_rank", "max_iter", "tol"))
    if not isinstance(tol, int | float | np.number) or not 1e-14 <= tol <= 1:
        raise InputError(f"tol is {tol!r}, expected a number from 1e-14 to 1")
    settings = {"alpha": alpha, "rank": max_rank, "max_iter": max_iter, "tol": max(float(tol), LARGEST_GAP)}
    if is_source(X):
        listed = isinstance(y, Sequence) and not isinstance(y, str)
        if y is not None and not (listed and all(isinstance(name, str) for name in y)):
            raise InputError(
                "y is not a list of names, expected the names of three columns of X, or None if X has no others"
            )
        with watched(settings["tol"]) as callback:
            found = SparkCompletion.fit(X, y, seed=seed, callback=callback, **settings)
        return found, PairIds(found.row_ids, found.column_ids)
    ids, i, j, y = PairIds.from_triples(X, y)
    with watched(settings["tol"]) as callback:
        found = SparkCompletion.fit((i, j, y), seed=seed, callback=callback, **settings)
    return found.named(ids.row_ids, ids.column_ids), ids


def _checked(parameters: dict[str, Any], sample_weight: Any) -> float:
    """Return alpha, or raise `InputError` for a parameter that Spark's ALS does not support."""
    alpha = parameters["alpha"]
    if isinstance(alpha, str):
        raise InputError(
            f"alpha is {alpha!r} with engine='spark', expected a positive number, Spark's regParam; "
            "engine='local' estimates it from a part of the data"
        )
    alpha = check_alpha(alpha, 1.0)[0]
    if alpha == 0:
        raise InputError("alpha is 0 with engine='spark', expected a positive number: only engine='local' fits exactly")
    asked = {
        "metric_power": ((1,), "Spark's ALS has only the flat penalty"),
        "refit": (("auto", False), "a refit is not penalised, but Spark's ALS is"),
        "offsets": (("auto", "none"), "subtract offsets from the values first, or use engine='local'"),
        "clip": ((None,), "clip the predictions of its DataFrames by Spark's functions"),
        "row_features": ((None,), "Spark's ALS has no features"),
        "column_features": ((None,), "Spark's ALS has no features"),
        "interactions": (("auto", False), "Spark's ALS has no features"),
        "offset_alpha": (("auto",), "there are no offsets"),
        "stop": (("gap",), "it sweeps until the gap is small, or max_iter is reached"),
    }
    for name, (allowed, reason) in asked.items():
        value = parameters[name]
        if not any(_same(value, known) for known in allowed):
            raise InputError(
                f"{name} is {value!r} with engine='spark', expected {' or '.join(map(repr, allowed))}: {reason}"
            )
    if sample_weight is not None:
        raise InputError("sample_weight was given with engine='spark', expected None: Spark's ALS has no weights")
    return alpha


def _same(value: Any, known: Any) -> bool:
    """Return whether a parameter has a supported value; True does not equal 1."""
    kinds = isinstance(value, bool | np.bool_), isinstance(known, bool)
    return kinds[0] == kinds[1] and np.ndim(value) == 0 and bool(value == known)
