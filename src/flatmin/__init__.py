"""flatmin: certified flat minima for low-rank matrix recovery."""

from typing import Any

from flatmin import families, losses, measurements, parametrizations, testing
from flatmin._version import __version__
from flatmin.certificates import Certificate
from flatmin.errors import InputError
from flatmin.flatness import Flatness, flatness
from flatmin.flattest import Flattest
from flatmin.parametrizations.chain import Chain
from flatmin.parametrizations.gram import Gram
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.parametrizations.product import Product
from flatmin.parametrizations.signed_gram import SignedGram
from flatmin.problem import Problem
from flatmin.solution import RecoveryError, Solution, Status
from flatmin.solvers import certify, flat_minimum, reweighted_minimum, robust_pca

__all__ = [
    "Certificate",
    "Chain",
    "Flatness",
    "Flattest",
    "Gram",
    "Hadamard",
    "InputError",
    "Problem",
    "Product",
    "RecoveryError",
    "SignedGram",
    "Solution",
    "Status",
    "__version__",
    "certify",
    "families",
    "flat_minimum",
    "flatness",
    "losses",
    "measurements",
    "parametrizations",
    "reweighted_minimum",
    "robust_pca",
    "testing",
]


def __getattr__(name: str) -> Any:
    """Import `flatmin.nn`, and with it PyTorch, when it is first used."""
    if name == "nn":
        from importlib import import_module

        return import_module("flatmin.nn")
    raise AttributeError(f"module 'flatmin' has no attribute {name!r}")
