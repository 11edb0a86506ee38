"""Completion by norms from the nuclear to the flat one, where some rows and columns have more cells than others.

The matrices are square of rank 2. A cell is observed with probability proportional to ``u_i u_j``, ``u_i = i^(−skew)``.
The minimised norm is ``‖D1^p X D2^p‖_*``: p = 0 is the nuclear norm, p = 1 the flat norm. All p see the same draws. The
threshold is the number of cells, in units of ``r (d1 + d2)``, at which half of the draws are recovered.

Claim: under uneven sampling the flat norm and the norm with p = ½ recover from no more cells than the nuclear norm: at
each skew above 0 the thresholds of p = ½ and p = 1 exceed that of p = 0 by at most 0.1. Under even sampling all p need
about the same number: their thresholds differ by at most 0.2.

Refuted by: a difference whose whole interval is beyond these limits. The intervals are those of paired differences, and
hold together with 95 % confidence, separately for uneven and even sampling.

Salakhutdinov, Srebro, "Collaborative filtering in a non-uniform world: learning with the weighted trace norm", NIPS
2010.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.base import relative_distance
from flatmin.lab.boundary.estimates import difference
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import RECOVERED
from flatmin.lab.runs.experiment import Metrics, Parameters, Transition
from flatmin.measurements.entries import Entries
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "complete", "judge", "show"]

RANK = 2
SKEWS, POWERS = (0.0, 0.3, 0.6), (0.0, 0.5, 1.0)
LABELS = {0.0: "p = 0, nuclear", 0.5: "p = ½", 1.0: "p = 1, flat"}


def complete(parameters: Parameters, seed: int) -> Metrics:
    """Return the recovery of one draw by one norm."""
    d, m, skew, power = (parameters[name] for name in ("d", "m", "skew", "power"))
    problem, truth = _drawn(int(d), int(m), float(skew), seed)
    solution = flat_minimum(problem, metric_power=float(power), seed=seed)
    error = relative_distance(solution.matrix, truth)
    # Weights each cell by its probability of being observed, as in predictions of cells that will be asked for.
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


def judge(evidence: Evidence) -> list[Claim]:
    """Return a claim for each skew and power, and for each pair of powers under even sampling."""
    uneven = [skew for skew in evidence.levels("skew") if skew > 0] or [SKEWS[-1]]
    cases = [(skew, power) for skew in uneven for power in POWERS if power > 0]
    claims = []
    for skew, power in cases:
        text = f"At skew {skew:g}, by how much the threshold of p = {power:g} is above that of p = 0, the nuclear norm"
        found = difference(evidence.select(skew=skew), "power", power, 0.0, shared_level(len(cases)))
        claims.append(Claim(f"{text}, in units of r (d1 + d2)", *found, below=0.1))
    pairs = list(combinations(POWERS, 2))
    for first, second in pairs:
        text = f"Under even sampling, how far the thresholds of p = {first:g} and p = {second:g} are apart"
        found = difference(evidence.select(skew=0.0), "power", second, first, shared_level(len(pairs))).folded(0.0)
        claims.append(Claim(f"{text}, in units of r (d1 + d2)", *found, below=0.2))
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return thresholds against skew, and errors against the number of cells."""
    pictures: list[Display] = []
    labels = {power: words for power, words in LABELS.items() if power in evidence.levels("power")}
    by: dict[str, Any] = {"by": "power", "labels": labels}
    axes = {"x_label": "skew of the sampling", "y_label": "threshold, in units of r (d1 + d2)"} | by
    rates = {"x": "m", "y": "success", "x_label": "number of cells seen", "y_label": "share of draws recovered"} | by
    for (d,), part in evidence.split("d").items():
        title = f"Thresholds of completion against skew, {d}×{d}, rank {RANK}"
        pictures.append(BoundaryDisplay.from_evidence(part, f"thresholds-{d}", title, over="skew", **axes))
        for (skew,), of_skew in part.split("skew").items():
            name = f"success-{d}-{skew:g}".replace(".", "-")
            title = f"Draws recovered against the number of cells, {d}×{d}, skew {skew:g}"
            pictures.append(CurvesDisplay.from_evidence(of_skew, name, title, **rates))
    return pictures


RECIPE = Recipe(
    "metric-power",
    __doc__,
    complete,
    grid=[{"d": (24,), "skew": SKEWS, "power": POWERS, "multiple": (1.6, 2.2, 2.8, 3.4, 4.0, 4.6, 5.2)}],
    repetitions=10,
    quick={
        "grid": [{"d": (12,), "skew": (0.0, 0.5), "power": (0.0, 1.0), "multiple": (1.6, 2.2, 2.8)}],
        "repetitions": 1,
    },
    resolve=_with_measurements,
    paired=("power",),
    transition=Transition("m", "success", _scale),
    judge=judge,
    show=show,
)
