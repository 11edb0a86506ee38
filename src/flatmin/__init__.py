"""flatmin: certified flat minima for low-rank matrix recovery."""

from importlib import import_module
from typing import Any

from flatmin import families, losses, measurements, parametrizations, testing
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.parametrizations.chain import Chain
from flatmin.parametrizations.gram import Gram
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.parametrizations.product import Product
from flatmin.parametrizations.signed_gram import SignedGram
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.flatness import Flatness, flatness
from flatmin.solution import RecoveryError, Solution, Status
from flatmin.solvers import (
    CrossValidation,
    RegularizationPath,
    alpha_max,
    certify,
    cross_validate,
    flat_minimum,
    flat_path,
    refit,
    reweighted_minimum,
    robust_pca,
    stabilize_variance,
)
from flatmin.solvers.flattest import Flattest, flatness_gap

__all__ = [
    "Certificate",
    "Chain",
    "CrossValidation",
    "Flatness",
    "Flattest",
    "Gram",
    "Hadamard",
    "InputError",
    "Problem",
    "Product",
    "RecoveryError",
    "RegularizationPath",
    "SignedGram",
    "Solution",
    "Status",
    "__version__",
    "alpha_max",
    "certify",
    "cross_validate",
    "families",
    "flat_minimum",
    "flat_path",
    "flatness",
    "flatness_gap",
    "losses",
    "measurements",
    "parametrizations",
    "refit",
    "reweighted_minimum",
    "robust_pca",
    "stabilize_variance",
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
    "PairRegressor",
    "PairRegressorCV",
    "PanelEffect",
    "PhaseRetrieval",
    "QuadraticNetworkRegressor",
    "QuadraticNetworkRegressorCV",
    "RobustPCA",
    "TraceRegressor",
    "TraceRegressorCV",
)
#: The prover, which loads the checker of proofs when it is used.
PROVER = ("Proof", "prove")
__all__ += [*ESTIMATORS, *PROVER]


def __getattr__(name: str) -> Any:
    """Import the estimators (with scikit-learn), the prover or `flatmin.nn` (with PyTorch) when they are first used."""
    if name in ESTIMATORS:
        return getattr(import_module("flatmin.estimators"), name)
    if name in PROVER:
        return getattr(import_module("flatmin.proofs.exact"), name)
    if name in ("estimators", "lab", "nn"):
        return import_module(f"flatmin.{name}")
    raise AttributeError(f"module 'flatmin' has no attribute {name!r}")


__dir__ = __all__.copy
