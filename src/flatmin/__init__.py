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
from flatmin.solvers import (
    CrossValidation,
    Path,
    certify,
    counts_to_even_noise,
    cross_validate,
    flat_minimum,
    flat_path,
    refit,
    reweighted_minimum,
    robust_pca,
    strongest,
)

__all__ = [
    "Certificate",
    "Chain",
    "CrossValidation",
    "Flatness",
    "Flattest",
    "Gram",
    "Hadamard",
    "InputError",
    "Path",
    "Problem",
    "Product",
    "RecoveryError",
    "SignedGram",
    "Solution",
    "Status",
    "__version__",
    "certify",
    "counts_to_even_noise",
    "cross_validate",
    "families",
    "flat_minimum",
    "flat_path",
    "flatness",
    "losses",
    "measurements",
    "parametrizations",
    "refit",
    "reweighted_minimum",
    "robust_pca",
    "strongest",
    "testing",
]


#: The estimators, which load scikit-learn when the first of them is used.
ESTIMATORS = (
    "BilinearRegressor",
    "BilinearRegressorCV",
    "CovarianceSketch",
    "CovarianceSketchCV",
    "MatrixCompletion",
    "MatrixCompletionCV",
    "PhaseRetrieval",
    "QuadraticNetworkRegressor",
    "QuadraticNetworkRegressorCV",
    "RobustPCA",
    "TraceRegressor",
    "TraceRegressorCV",
)
__all__ += [*ESTIMATORS]


def __getattr__(name: str) -> Any:
    """Import estimators, and with them scikit-learn, or `flatmin.nn`, and with it PyTorch, when first used."""
    if name in ESTIMATORS:
        return getattr(import_module("flatmin.estimators"), name)
    if name in ("estimators", "experiments", "nn"):
        return import_module(f"flatmin.{name}")
    raise AttributeError(f"module 'flatmin' has no attribute {name!r}")
