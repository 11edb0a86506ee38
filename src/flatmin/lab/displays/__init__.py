"""Displays: figures of the results of experiments, in the manner of scikit-learn's displays."""

from flatmin.lab.displays.base import Display
from flatmin.lab.displays.boundary import BoundaryDisplay
from flatmin.lab.displays.curves import CurvesDisplay
from flatmin.lab.displays.figure_files import check_figures, page_svg, save_figures, sheet
from flatmin.lab.displays.phase_map import PhaseMapDisplay
from flatmin.lab.displays.scatter import ScatterDisplay

__all__ = [
    "BoundaryDisplay",
    "CurvesDisplay",
    "Display",
    "PhaseMapDisplay",
    "ScatterDisplay",
    "check_figures",
    "page_svg",
    "save_figures",
    "sheet",
]
__dir__ = __all__.copy
