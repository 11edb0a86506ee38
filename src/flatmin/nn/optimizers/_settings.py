"""Validation of the real-valued settings of optimizers."""

import math
from typing import Any

from flatmin.errors import InputError

__all__ = ["number"]


def number(name: str, value: Any, *, maximum: float = math.inf, positive: bool = False) -> float:
    """Return a setting as a float; raise `InputError` unless it is finite, not negative and at most ``maximum``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum or value == math.inf:
        limit = f" and at most {maximum}" if maximum < math.inf else ""
        raise InputError(f"{name} is {value!r}, expected a finite number of at least 0{limit}")
    if positive and value == 0:
        raise InputError(f"{name} is 0, expected a positive number")
    return float(value)
