"""Conversion of user input to arrays and numbers. Each error is one sentence."""

import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from flatmin._core.arrays import Array, on_host
from flatmin.errors import InputError

__all__ = [
    "check_version",
    "generator",
    "in_one_line",
    "integers",
    "is_whole",
    "matrix_shape",
    "nonnegative",
    "numeric",
    "positive",
    "real_number",
    "seed_number",
    "shown",
    "whole_number",
]

#: The first whole number that does not fit into 64 bits with a sign.
TOO_LARGE = 2.0**63
#: Largest number of rows or columns; positions in sparse matrices have 32 bits.
LARGEST_SIDE = 2**31 - 1
#: Longest text of a value in a message, in characters.
LONGEST_SHOWN = 60


def numeric(value: Any, name: str, *, allow_complex: bool = False) -> Array:
    """Return ``value`` as a finite float64 (or complex128) array; other numbers and tensors are converted."""
    try:
        array = np.asarray(on_host(value))
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


@contextmanager
def in_one_line() -> Iterator[None]:
    """Shorten a `ValueError` of scikit-learn in the block, which appends all data, to its first line and what to do."""
    try:
        yield
    except ValueError as error:
        first, *more = str(error).splitlines() or [""]
        if not more:
            raise
        remedy = more[-1] if more[-1].startswith("Reshape") else ""
        raise InputError(f"{first} {remedy}".strip()) from error


def integers(value: Any, name: str) -> Array:
    """Return ``value`` as a one-dimensional array of whole numbers."""
    whole = isinstance(value, np.ndarray) and value.dtype.kind in "iu"
    array = value if whole else numeric(value, name)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}, expected one dimension")
    if not whole and np.any(array != np.rint(array)):
        raise InputError(f"{name} contains {array[array != np.rint(array)][0]}, expected whole numbers")
    largest = np.max(np.abs(array), initial=0) if array.dtype.kind in "uf" else 0
    if not float(largest) < TOO_LARGE:
        raise InputError(f"{name} contains a number of the size {largest:.3g}, expected whole numbers below 2**63")
    return array.astype(np.int64, copy=False)


def matrix_shape(value: Any) -> tuple[int, int]:
    """Return ``value`` as a pair of positive integers."""
    try:
        d1, d2 = (operator.index(d) for d in np.asarray(value).tolist())
    except (TypeError, ValueError) as error:
        raise InputError(f"shape is {shown(value)}, expected two positive whole numbers") from error
    if not (1 <= d1 <= LARGEST_SIDE and 1 <= d2 <= LARGEST_SIDE):
        expected = f"two positive whole numbers of at most {LARGEST_SIDE}"
        raise InputError(f"shape is ({shown(d1)}, {shown(d2)}), expected {expected}")
    return d1, d2


def nonnegative(value: Any, name: str, *, maximum: float = math.inf) -> float:
    """Return ``value`` as a finite float of at least 0 and at most ``maximum``."""
    number = real_number(value)
    if not 0 <= number <= maximum or number == math.inf:
        limit = f" and at most {maximum:g}" if maximum < math.inf else ""
        raise InputError(f"{name} is {shown(value)}, expected a finite number of at least 0{limit}")
    return number


def positive(value: Any, name: str, *, below: float = math.inf) -> float:
    """Return ``value`` as a float between 0 and ``below``, both excluded."""
    number = real_number(value)
    if not 0 < number < below:
        limit = "a positive finite number" if below == math.inf else f"a number between 0 and {below:g}"
        raise InputError(f"{name} is {shown(value)}, expected {limit}")
    return number


def real_number(value: Any) -> float:
    """Return a real number as a float, infinite if it is too large for one, and NaN for anything else."""
    known = isinstance(value, int | float | np.integer | np.floating)
    if not known or isinstance(value, bool | np.timedelta64):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def seed_number(value: Any) -> int:
    """Return ``value`` as a seed, which is a whole number that NumPy's generators accept."""
    if not is_whole(value) or not 0 <= value < 2**63:
        raise InputError(f"seed is {shown(value)}, expected a whole number of at least 0 and below 2**63")
    return int(value)


def generator(seed: Any) -> np.random.Generator:
    """Return a random generator for a seed of any kind that `numpy.random.default_rng` takes."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(f"seed is {shown(seed)}, expected a whole number of at least 0") from error


def whole_number(value: Any, name: str, least: int) -> int:
    """Return ``value`` as a whole number of at least ``least``."""
    if not is_whole(value) or value < least:
        raise InputError(f"{name} is {shown(value)}, expected a whole number of at least {least}")
    return int(value)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, of Python or NumPy; truth values and durations are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def check_version(file: object, found: Any, newest: int) -> None:
    """Raise `InputError` unless the version of a format that a file states is one of those that are read.

    Examples
    --------
    >>> check_version("a.npz", 2, newest=1)
    Traceback (most recent call last):
    ...
    flatmin.errors.InputError: a.npz has format version 2, newer than 1, the newest that is read here; update flatmin
    """
    if not is_whole(found) or found < 1:
        raise InputError(f"{file} has format version {shown(found)}, expected a whole number from 1 to {newest}")
    if found > newest:
        stated = f"{file} has format version {shown(found)}, newer than {newest}"
        raise InputError(f"{stated}, the newest that is read here; update flatmin")


def shown(value: Any) -> str:
    """Return a value as a short text for a message.

    Examples
    --------
    >>> shown("a"), shown(10**99)
    ("'a'", '100000000000000000000000000000… (100 characters)')
    """
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to write whole numbers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:30]}… ({len(text)} characters)"
