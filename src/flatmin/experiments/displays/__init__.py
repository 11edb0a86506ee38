"""Pictures of evidence, in the manner of scikit-learn's displays."""

from flatmin.experiments.displays.base import Display
from flatmin.experiments.displays.boundary import BoundaryDisplay
from flatmin.experiments.displays.curves import CurvesDisplay
from flatmin.experiments.displays.files import check_figures, page_svg, save_figures, sheet
from flatmin.experiments.displays.phase_map import PhaseMapDisplay
from flatmin.experiments.displays.scatter import ScatterDisplay

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
