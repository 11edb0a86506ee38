"""flatmin: certified flat minima for low-rank matrix recovery."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flatmin._version import __version__
from flatmin.errors import InputError

if TYPE_CHECKING:
    from flatmin import families, losses, measurements, parametrizations, testing
    from flatmin.parametrizations import Chain, Gram, Hadamard, Product, SignedGram
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

#: The public names by the module that defines them, which is imported when the first of its names is used. So `import
#: flatmin` takes no time, scikit-learn is loaded by the estimators only, and the checker of proofs by the prover.
NAMES = {
    "parametrizations": ("Chain", "Gram", "Hadamard", "Product", "SignedGram"),
    "problem": ("Problem",),
    "proofs.certificate": ("Certificate",),
    "proofs.flatness": ("Flatness", "flatness"),
    "solution": ("RecoveryError", "Solution", "Status"),
    "solvers": (
        "CrossValidation",
        "RegularizationPath",
        "alpha_max",
        "certify",
        "cross_validate",
        "flat_minimum",
        "flat_path",
        "refit",
        "reweighted_minimum",
        "robust_pca",
        "stabilize_variance",
    ),
    "solvers.flattest": ("Flattest", "flatness_gap"),
    "estimators": (
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
    ),
    "proofs.exact": ("Proof", "prove"),
}
HOMES = {name: module for module, names in NAMES.items() for name in names}

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
__all__ += [*NAMES["estimators"], *NAMES["proofs.exact"]]


def __getattr__(name: str) -> Any:
    """Import a public name, or a package such as `flatmin.nn` (with PyTorch), when it is first used."""
    if name in HOMES:
        value = getattr(import_module(f"flatmin.{HOMES[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"flatmin.{name}") is not None:
        return import_module(f"flatmin.{name}")
    raise AttributeError(f"module 'flatmin' has no attribute {name!r}")


__dir__ = __all__.copy
