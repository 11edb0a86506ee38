"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certification import certify
from flatmin.solvers.flat_minimum import flat_minimum
from flatmin.solvers.noise.counts import counts_to_even_noise
from flatmin.solvers.noise.refit import refit
from flatmin.solvers.reweighting import reweighted_minimum
from flatmin.solvers.robust.robust_pca import robust_pca
from flatmin.solvers.strengths.cross_validation import CrossValidation, cross_validate
from flatmin.solvers.strengths.path import Path, flat_path, strongest

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
