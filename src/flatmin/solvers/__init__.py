"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certification import certify
from flatmin.solvers.choose import flat_minimum
from flatmin.solvers.lowest_rank.reweighting import reweighted_minimum
from flatmin.solvers.noise.refit import refit
from flatmin.solvers.noise.variance_stabilization import stabilize_variance
from flatmin.solvers.splitting import robust_pca
from flatmin.solvers.strengths.cross_validation import CrossValidation, cross_validate
from flatmin.solvers.strengths.path import RegularizationPath, alpha_max, flat_path

__all__ = [
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
]


def __dir__() -> list[str]:
    return __all__
