"""Error against the level of Gaussian noise, for an exact fit, for the penalised solution, and for its refit.

Sensing of 24×20 matrices of rank 2 by 320 measurements and completion of 40×40 matrices of rank 2 from 800 cells,
noise from a thousandth to a third of the root mean square of the data, ten draws of every cell. All methods see the
same draws. The strength of the penalty is found by the square-root rule, which knows nothing of the noise.

Claim: the error of the refit and of the penalised solution is proportional to the noise; the refit, at a rank that it
finds, is the better of the two, and an exact fit is worse than either and has a far larger rank.

Refuted by: a ratio of error to noise of the refit that changes by more than a factor of two over the levels, a wrong
rank of the refit in more than one in ten of the draws, or an exact fit with a smaller error.
"""

from __future__ import annotations

from typing import Any

from flatmin import families
from flatmin.experiments.recipe import Metrics, Parameters, Recipe
from flatmin.families.base import relative_distance
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["RECIPE", "fit"]

#: Family, shape, rank and number of measurements of each panel.
PANELS: dict[str, tuple[str, tuple[int, int], int, int]] = {
    "sensing": ("matrix-sensing", (24, 20), 2, 320),
    "completion": ("matrix-completion", (40, 40), 2, 800),
}
LEVELS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def fit(parameters: Parameters, seed: int) -> Metrics:
    """Return how near one method comes to the truth of one draw."""
    name, shape, rank, m = PANELS[str(parameters["panel"])]
    level, method = float(parameters["noise"]), str(parameters["method"])
    problem, truth = _drawn(name, shape, rank, m, level, seed)
    solution = flat_minimum(problem, alpha=0.0 if method == "exact" else "auto", seed=seed)
    metrics: Metrics = {"solved": solution.status.name, "rank_found": solution.rank, "sigma": None}
    matrix = solution.matrix
    if solution.noise is not None:
        metrics["sigma"] = solution.noise.sigma
    if method == "refit":
        assert solution.noise is not None
        matrix, metrics["rank_found"] = problem.parametrization.matrix(solution.noise.refit), solution.noise.rank
    error = relative_distance(matrix, truth)
    return metrics | {"error": error, "error_over_noise": error / level, "right_rank": metrics["rank_found"] == rank}


def _drawn(name: str, shape: tuple[int, int], rank: int, m: int, level: float, seed: int) -> tuple[Any, Any]:
    instance = families.find(name).sample(shape, rank, m, noise=level, seed=seed)
    return instance.problem, instance.truth


RECIPE = Recipe(
    "noise",
    __doc__,
    fit,
    grid=[{"panel": tuple(PANELS), "method": ("exact", "penalised", "refit"), "noise": LEVELS}],
    repetitions=10,
    quick={"grid": [{"panel": ("sensing",), "method": ("penalised", "refit"), "noise": (0.01, 0.1)}], "repetitions": 2},
    paired=("method",),
)
