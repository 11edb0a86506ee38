"""Completion between the nuclear norm and the flat one, where some rows and columns are seen more often than others.

Square matrices of rank 2 with Gaussian factors. The chance of a cell to be observed is proportional to ``u_i u_j`` with
``u_i = i^(−skew)``: even at skew 0. What is minimised is ``‖D1^p X D2^p‖_*``; p = 0 is the nuclear norm, p = 1 the flat
one. All p see the same draws, ten of every cell. A draw succeeds if the relative error over the whole matrix is below
1e-6.

Claim: under uneven sampling the flat norm recovers from no more cells than the nuclear norm, and under even sampling
all p recover from about as many.

Refuted by: at skew above 0 a boundary of p = 1 whose band lies above that of p = 0, or at skew 0 bands that do not
meet.

Salakhutdinov, Srebro, "Collaborative filtering in a non-uniform world: learning with the weighted trace norm", NIPS
2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flatmin.experiments.recipe import Metrics, Parameters, Recipe
from flatmin.experiments.recovery import RECOVERED
from flatmin.experiments.transition import Transition
from flatmin.families.base import relative_distance
from flatmin.measurements.entries import Entries
from flatmin.metric import Array
from flatmin.problem import Problem
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["RECIPE", "complete"]

RANK = 2


def complete(parameters: Parameters, seed: int) -> Metrics:
    """Return how well one norm completes one draw."""
    d, m, skew, power = (parameters[name] for name in ("d", "m", "skew", "power"))
    problem, truth = _drawn(int(d), int(m), float(skew), seed)
    solution = flat_minimum(problem, metric_power=float(power), seed=seed)
    error = relative_distance(solution.matrix, truth)
    # Of the cells that are likely to be seen, by their chance: what matters to whoever predicts what will be asked for.
    weights = np.outer(*[np.arange(1, int(d) + 1.0) ** -float(skew)] * 2)
    seen = np.sqrt(np.sum(weights * (solution.matrix - truth) ** 2) / np.sum(weights * truth**2))
    return {
        "error": error,
        "error_as_seen": float(seen),
        "success": error < RECOVERED,
        "rank_found": solution.rank,
        "solved": solution.status.name,
        "unseen_rows": len(solution.undetermined[0]),
    }


def _drawn(d: int, m: int, skew: float, seed: int) -> tuple[Problem, Array]:
    rng = np.random.default_rng(seed)
    chances = np.outer(*[np.arange(1, d + 1.0) ** -skew] * 2).ravel()
    cells = np.sort(rng.choice(d * d, m, replace=False, p=chances / chances.sum()))
    L, R = rng.standard_normal((d, RANK)), rng.standard_normal((d, RANK))
    measurement = Entries(*np.divmod(cells, d), (d, d))
    return Problem(measurement, measurement.forward_factors(L, R)), L @ R.T


def _with_measurements(parameters: Parameters) -> Parameters:
    cell: dict[str, Any] = dict(parameters)
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * _scale(cell))
    return cell


def _scale(parameters: Mapping[str, Any]) -> float:
    return float(2 * RANK * parameters["d"])


RECIPE = Recipe(
    "metric-power",
    __doc__,
    complete,
    grid=[
        {
            "d": (24,),
            "skew": (0.0, 0.3, 0.6),
            "power": (0.0, 0.5, 1.0),
            "multiple": (1.6, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0, 4.4, 4.8, 5.2, 5.6),
        }
    ],
    repetitions=10,
    quick={
        "grid": [{"d": (12,), "skew": (0.0, 0.5), "power": (0.0, 1.0), "multiple": (1.6, 2.2, 2.8)}],
        "repetitions": 2,
    },
    resolve=_with_measurements,
    paired=("power",),
    transition=Transition("m", "success", _scale),
)
