"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certification import certify
from flatmin.solvers.counts import counts_to_even_noise
from flatmin.solvers.flat_minimum import flat_minimum
from flatmin.solvers.refit import refit
from flatmin.solvers.reweighting import reweighted_minimum
from flatmin.solvers.robust_pca import robust_pca

__all__ = ["certify", "counts_to_even_noise", "flat_minimum", "refit", "reweighted_minimum", "robust_pca"]
