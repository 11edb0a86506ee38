"""Checks that users can run on their own objects: each returns nothing, or raises with the reason."""

from importlib import import_module
from typing import Any

from flatmin.testing.estimators import expected_failed_checks
from flatmin.testing.measurement import check_measurement
from flatmin.testing.parametrization import check_parametrization
from flatmin.testing.solution import check_solution

__all__ = ["check_measurement", "check_parametrization", "check_solution", "expected_failed_checks"]


def __getattr__(name: str) -> Any:
    """Import `flatmin.testing.torch`, and with it PyTorch, when it is first used."""
    if name == "torch":
        return import_module("flatmin.testing.torch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has torch, {', '.join(__all__)}")


__dir__ = __all__.copy
