"""Solvers of flat minima and of their relatives. `flat_minimum` chooses one from the table in `choose`."""

from flatmin.solvers.alphas.cross_validation import CrossValidation, cross_validate
from flatmin.solvers.alphas.path import RegularizationPath, alpha_max, flat_path
from flatmin.solvers.certification import certify
from flatmin.solvers.choose import Solver, find, flat_minimum, names, register, unregister
from flatmin.solvers.lowest_rank.reweighting import reweighted_minimum
from flatmin.solvers.noise.refit import refit
from flatmin.solvers.noise.variance_stabilization import stabilize_variance
from flatmin.solvers.splitting import robust_pca

__all__ = [
    "CrossValidation",
    "RegularizationPath",
    "Solver",
    "alpha_max",
    "certify",
    "cross_validate",
    "find",
    "flat_minimum",
    "flat_path",
    "names",
    "refit",
    "register",
    "reweighted_minimum",
    "robust_pca",
    "stabilize_variance",
    "unregister",
]
__dir__ = __all__.copy
