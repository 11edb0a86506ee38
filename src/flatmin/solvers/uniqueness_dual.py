"""Placeholder while this file is being written."""

from typing import Any

__all__ = ["uniqueness_dual"]


def uniqueness_dual(measurement: Any, U: Any, *, seed: int = 0) -> None:
    """Return None: undecided."""
