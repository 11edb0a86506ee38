"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certification import certify
from flatmin.solvers.flat_minimum import flat_minimum
from flatmin.solvers.refit import refit
from flatmin.solvers.reweighting import reweighted_minimum
from flatmin.solvers.robust_pca import robust_pca

__all__ = ["certify", "flat_minimum", "refit", "reweighted_minimum", "robust_pca"]
