"""Conversion of user input to arrays and numbers. Each error is one sentence."""

import math
import operator
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["integers", "matrix_shape", "nonnegative", "numeric", "positive", "seed_number", "whole_number"]


def numeric(value: Any, name: str, *, allow_complex: bool = False) -> Array:
    """Return ``value`` as a finite float64 (or complex128) array; integers, booleans and float32 are converted."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is ragged, expected a rectangular array of numbers") from error
    if array.dtype.kind not in "biufc":
        raise InputError(f"{name} holds {array.dtype} values, expected numbers")
    if array.dtype.kind == "c" and not allow_complex:
        raise InputError(f"{name} is complex, expected real numbers for this model")
    array = array.astype(complex if array.dtype.kind == "c" else float, copy=False)
    if not np.isfinite(array).all():
        raise InputError(f"{name} contains NaN or infinity, expected finite numbers")
    return array


def integers(value: Any, name: str) -> Array:
    """Return ``value`` as a one-dimensional array of whole numbers."""
    whole = isinstance(value, np.ndarray) and value.dtype.kind in "iu"
    array = value if whole else numeric(value, name)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}, expected one dimension")
    if not whole and np.any(array != np.rint(array)):
        raise InputError(f"{name} contains {array[array != np.rint(array)][0]}, expected whole numbers")
    return array.astype(np.int64, copy=False)


def matrix_shape(value: Any) -> tuple[int, int]:
    """Return ``value`` as a pair of positive integers."""
    try:
        d1, d2 = (operator.index(d) for d in np.asarray(value).tolist())
    except (TypeError, ValueError) as error:
        raise InputError(f"shape is {value!r}, expected two positive whole numbers") from error
    if d1 < 1 or d2 < 1:
        raise InputError(f"shape is ({d1}, {d2}), expected two positive whole numbers")
    return d1, d2


def nonnegative(value: Any, name: str, *, maximum: float = math.inf) -> float:
    """Return ``value`` as a finite float of at least 0 and at most ``maximum``."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= maximum or value == math.inf:
        limit = f" and at most {maximum:g}" if maximum < math.inf else ""
        raise InputError(f"{name} is {value!r}, expected a finite number of at least 0{limit}")
    return float(value)


def positive(value: Any, name: str, *, below: float = math.inf) -> float:
    """Return ``value`` as a float between 0 and ``below``, both excluded."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < below:
        limit = "a positive finite number" if below == math.inf else f"a number between 0 and {below:g}"
        raise InputError(f"{name} is {value!r}, expected {limit}")
    return float(value)


def seed_number(value: Any) -> int:
    """Return ``value`` as a seed, which is a whole number that NumPy's generators accept."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 2**63:
        raise InputError(f"seed is {value!r}, expected a whole number of at least 0 and below 2**63")
    return int(value)


def whole_number(value: Any, name: str, least: int) -> int:
    """Return ``value`` as a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}, expected a whole number of at least {least}")
    return int(value)
