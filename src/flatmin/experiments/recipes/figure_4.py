"""How near flat solutions come to being norm-minimal and balanced, over dimension and number of measurements.

The paper's Figure 4: matrix and bilinear sensing and completion, square matrices of rank 2, ten draws of every cell.
For the factors L, R of a certified flat solution: ``norm_excess = (‖L‖² + ‖R‖²) / (2 ‖X_nuc‖_*) − 1`` against the
interpolating matrix of smallest nuclear norm, ``balance_gap = ‖LᵀL − RᵀR‖_* / (2 ‖X‖_*)``, and κ, the largest over
the smallest eigenvalue of D1 and D2 together.

Claim: flat solutions are nearly norm-minimal and nearly balanced, and the more so the more measurements there are: the
norm excess is at most κ² − 1, and both gaps vanish as κ tends to 1.

Refuted by: a norm excess above κ² − 1 by more than rounding, or gaps in Gaussian sensing that do not shrink as the
number of measurements grows. In completion κ is that of the row and column counts; where a row is hardly seen it is
large, and the bound says little.

Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and Inference
13(2), 2024, Figure 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin import families
from flatmin.experiments.recipe import Metrics, Parameters, Recipe
from flatmin.experiments.recovery import degrees
from flatmin.solvers.flat_minimum import flat_minimum

__all__ = ["RECIPE", "gaps"]

PANELS = {"sensing": "matrix-sensing", "bilinear": "bilinear-sensing", "completion": "matrix-completion"}
RANK = 2
MULTIPLES = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


def gaps(parameters: Parameters, seed: int) -> Metrics:
    """Return how far the flat solution of one draw is from norm-minimal and from balanced."""
    d, m = int(parameters["d"]), int(parameters["m"])
    family = families.find(PANELS[str(parameters["panel"])])
    instance = family.sample((d, d), RANK, m, seed=seed)
    flat, nuclear = (flat_minimum(instance.problem, metric_power=power, seed=seed) for power in (1.0, 0.0))
    own, least = (float(np.linalg.norm(solution.matrix, "nuc")) for solution in (flat, nuclear))
    norm = sum(float(np.sum(factor**2)) for factor in flat.factors)
    excess, bound = norm / (2 * least) - 1, flat.flatness.condition**2 - 1
    assert instance.truth is not None
    return {
        "norm_excess": excess,
        "excess_bound": bound,
        "within_bound": excess <= bound + 1e-6,
        "balance_gap": flat.flatness.balance / (2 * own),
        "condition": flat.flatness.condition,
        "error": family.relative_error(instance.problem, flat, instance.truth),
        "rank_found": flat.rank,
        "solved": flat.status.name,
        "solved_nuclear": nuclear.status.name,
    }


def _with_measurements(parameters: Parameters) -> Parameters | None:
    """Return the cell of a multiple of the degrees, or None if the matrix has not so many cells."""
    cell: dict[str, Any] = dict(parameters)
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * degrees(PANELS[cell["panel"]], cell["d"], RANK))
    return cell if cell["panel"] != "completion" or cell["m"] <= cell["d"] ** 2 else None


RECIPE = Recipe(
    "figure-4",
    __doc__,
    gaps,
    grid=[{"panel": tuple(PANELS), "d": (10, 15, 20, 25, 30, 35, 40), "multiple": MULTIPLES}],
    repetitions=10,
    quick={"grid": [{"panel": tuple(PANELS), "d": (10, 16), "multiple": (2.0, 4.0, 8.0)}], "repetitions": 2},
    resolve=_with_measurements,
)
