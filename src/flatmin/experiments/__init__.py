"""Experiments as sweeps: recipes, a store that survives, phase maps."""

from flatmin.experiments import recipes
from flatmin.experiments.adaptive import Adaptive
from flatmin.experiments.boundary import Boundary, fit_boundary, wilson
from flatmin.experiments.dask_cluster import DaskCluster
from flatmin.experiments.evidence import Evidence
from flatmin.experiments.export import export
from flatmin.experiments.phase_map import PhaseMap
from flatmin.experiments.places import Here, Processes
from flatmin.experiments.reading import read_stores
from flatmin.experiments.recipe import Recipe, Trial
from flatmin.experiments.report import write_report
from flatmin.experiments.statistical_dimension import statistical_dimension
from flatmin.experiments.store import Result, Store
from flatmin.experiments.sweep import Everything, Outcome, sweep
from flatmin.experiments.transition import Transition
from flatmin.experiments.variation import read_recipe

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
