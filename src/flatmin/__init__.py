"""flatmin: certified flat minima for low-rank matrix recovery."""

from importlib import import_module
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
from flatmin.solvers import certify, flat_minimum, refit, reweighted_minimum, robust_pca

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
    "refit",
    "reweighted_minimum",
    "robust_pca",
    "testing",
]


#: The estimators, which load scikit-learn when the first of them is used.
ESTIMATORS = ("BilinearRegressor", "QuadraticNetworkRegressor", "TraceRegressor")
__all__ += [*ESTIMATORS]


def __getattr__(name: str) -> Any:
    """Import estimators, and with them scikit-learn, or `flatmin.nn`, and with it PyTorch, when first used."""
    if name in ESTIMATORS:
        return getattr(import_module("flatmin.estimators"), name)
    if name in ("nn", "estimators"):
        return import_module(f"flatmin.{name}")
    raise AttributeError(f"module 'flatmin' has no attribute {name!r}")
