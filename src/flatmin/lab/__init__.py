"""Experiments: sweeps over grids, a store of trials that survives interruptions, claims, figures and pages."""

from flatmin.lab import recipes
from flatmin.lab.boundary.adaptive import Adaptive
from flatmin.lab.boundary.phase_map import PhaseMap
from flatmin.lab.boundary.posterior import Boundary, fit_boundary, wilson
from flatmin.lab.claims import Claim
from flatmin.lab.descent_cones import statistical_dimension
from flatmin.lab.evidence import Evidence
from flatmin.lab.functions.function_map import FunctionMap, phase_map
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipe_file import read_recipe
from flatmin.lab.report import write_report
from flatmin.lab.runs.dask_cluster import DaskCluster
from flatmin.lab.runs.executors import Processes, Serial
from flatmin.lab.runs.experiment import Experiment, Transition, Trial
from flatmin.lab.runs.export import export
from flatmin.lab.runs.store import Result, Store
from flatmin.lab.runs.sweep import FullGrid, SweepResult, sweep
from flatmin.lab.stored_evidence import read_stores

__all__ = [
    "Adaptive",
    "Boundary",
    "Claim",
    "DaskCluster",
    "Evidence",
    "Experiment",
    "FullGrid",
    "FunctionMap",
    "PhaseMap",
    "Processes",
    "Recipe",
    "Result",
    "Serial",
    "Store",
    "SweepResult",
    "Transition",
    "Trial",
    "export",
    "fit_boundary",
    "phase_map",
    "read_recipe",
    "read_stores",
    "recipes",
    "statistical_dimension",
    "sweep",
    "wilson",
    "write_report",
]
__dir__ = __all__.copy
