"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certification import certify
from flatmin.solvers.counts import counts_to_even_noise
from flatmin.solvers.cross_validation import CrossValidation, cross_validate
from flatmin.solvers.flat_minimum import flat_minimum
from flatmin.solvers.path import Path, flat_path, strongest
from flatmin.solvers.refit import refit
from flatmin.solvers.reweighting import reweighted_minimum
from flatmin.solvers.robust_pca import robust_pca

__all__ = [
    "CrossValidation",
    "Path",
    "certify",
    "counts_to_even_noise",
    "cross_validate",
    "flat_minimum",
    "flat_path",
    "refit",
    "reweighted_minimum",
    "robust_pca",
    "strongest",
]
