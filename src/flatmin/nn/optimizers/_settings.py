"""Checks of what optimizers are told."""

from __future__ import annotations

import math
from typing import Any

from flatmin.errors import InputError

__all__ = ["number", "whole"]


def number(name: str, value: Any, *, most: float = math.inf, positive: bool = False) -> float:
    """Return a setting as a float; raise `InputError` unless it is finite, not negative and at most ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value == math.inf:
        raise InputError(
            f"{name} is {value!r}, expected a finite number of at least 0" + f" and at most {most}" * (most < math.inf)
        )
    if positive and value == 0:
        raise InputError(f"{name} is 0, expected a positive number")
    return float(value)


def whole(name: str, value: Any, *, least: int) -> int:
    """Return a setting; raise `InputError` unless it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}, expected a whole number of at least {least}")
    return value
