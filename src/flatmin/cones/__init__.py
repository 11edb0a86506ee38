"""Cones: the sets of matrices that models can represent, with their norms, tangent spaces and quadratic maps."""

from flatmin.cones.base import Cone
from flatmin.cones.rectangular import Rectangular
from flatmin.cones.semidefinite import Semidefinite
from flatmin.cones.symmetric import Symmetric

__all__ = ["Cone", "Rectangular", "Semidefinite", "Symmetric"]
__dir__ = __all__.copy
