"""Recovery of sparse vectors by flat products of more and more factors, over the number of measurements.

``x = u_1 ∘ … ∘ u_N`` with Gaussian measurements, ten draws of every cell; all depths see the same draws. A draw
succeeds if the relative error is below 1e-6.

Claim: flat products of two vectors recover sparse vectors from a few times ``s log(n / s)`` measurements on, and those
of three and more factors only when there are as many measurements as unknowns: depth takes the sparse bias of flat
solutions away.

Refuted by: a depth above two that recovers from fewer measurements than unknowns, or a depth of two that does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flatmin.experiments.recipe import Metrics, Parameters, Recipe
from flatmin.experiments.recovery import RECOVERED
from flatmin.experiments.transition import Transition
from flatmin.families import sparse_regression
from flatmin.families.base import relative_distance
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["RECIPE", "recover"]


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return how well the flat product of one depth recovers one draw."""
    n, sparsity, m, depth = (int(parameters[name]) for name in ("n", "sparsity", "m", "depth"))
    instance = sparse_regression.sample(n, sparsity, m, seed=seed, depth=depth)
    solution = flat_minimum(instance.problem, seed=seed)
    assert instance.truth is not None
    error = relative_distance(solution.matrix, instance.truth)
    return {
        "error": error,
        "success": error < RECOVERED,
        "solved": solution.status.name,
        "gap": float(solution.certificate.relative_gap),
    }


def _scale(parameters: Mapping[str, Any]) -> float:
    return float(parameters["sparsity"] * math.log(parameters["n"] / parameters["sparsity"]))


RECIPE = Recipe(
    "depth",
    __doc__,
    recover,
    grid=[{"n": (80,), "sparsity": (2, 4, 8), "depth": (2, 3, 5), "m": (*range(8, 80, 6), 80)}],
    repetitions=10,
    quick={
        "grid": [{"n": (40,), "sparsity": (3,), "depth": (2, 3), "m": (8, 14, 20, 26, 40)}],
        "repetitions": 2,
    },
    paired=("depth",),
    transition=Transition("m", "success", _scale),
)
