"""Algorithms, one file each; `flat_minimum` chooses and packages."""

from flatmin.solvers.certify import certify
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["certify", "flat_minimum"]
