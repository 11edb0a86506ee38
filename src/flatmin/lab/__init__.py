"""Experiments as sweeps: recipes, a store that survives, phase maps."""

from flatmin.lab import recipes
from flatmin.lab.adaptive import Adaptive
from flatmin.lab.boundary import Boundary, fit_boundary, wilson
from flatmin.lab.dask_cluster import DaskCluster
from flatmin.lab.evidence import Evidence
from flatmin.lab.export import export
from flatmin.lab.phase_map import PhaseMap
from flatmin.lab.places import Here, Processes
from flatmin.lab.reading import read_stores
from flatmin.lab.recipe import Recipe, Trial
from flatmin.lab.report import write_report
from flatmin.lab.statistical_dimension import statistical_dimension
from flatmin.lab.store import Result, Store
from flatmin.lab.sweep import Everything, Outcome, sweep
from flatmin.lab.transition import Transition
from flatmin.lab.variation import read_recipe

__all__ = [
    "Adaptive",
    "Boundary",
    "DaskCluster",
    "Everything",
    "Evidence",
    "Here",
    "Outcome",
    "PhaseMap",
    "Processes",
    "Recipe",
    "Result",
    "Store",
    "Transition",
    "Trial",
    "export",
    "fit_boundary",
    "read_recipe",
    "read_stores",
    "recipes",
    "statistical_dimension",
    "sweep",
    "wilson",
    "write_report",
]


def __dir__() -> list[str]:
    return __all__
