"""Lowest rank by reweighting, and the flat minimum, over measurements and the condition number of the truth.

Sensing and completion of 24×24 matrices of rank 2 with singular values 1 and 1/κ, κ = 1, 10 and 1e5. Oversampling is
the number of measurements divided by the ``r (d1 + d2 − r)`` degrees of freedom. Both methods see the same draws, and
reweighting does not know the flat solution. A draw succeeds if the relative error is below 1e-6 and below a hundredth
of the smallest singular value. docs/recipes.md discusses the failures.

Claim: reweighting recovers the truth from fewer measurements than the flat minimum, by at least half a measurement per
degree of freedom at each κ, and from 1.5 measurements per degree of freedom on. If the flat minimum succeeds,
reweighting fails in at most one of ten draws. The boundary of either method at κ = 10 and 1e5 is at most half a
measurement above that at κ = 1. If only reweighting succeeds, its scaled trace exceeds the certified minimum by at
least 1 % in the geometric mean; if both succeed, the traces agree to 1e-6.

Refuted by: any of these numbers, for sensing or for completion, on the other side of its limit with its whole interval.
The intervals of all comparisons of the same kind hold together with 95 % confidence.

Kümmerle, Mayrink Verdun, "A scalable second order method for ill-conditioned matrix completion from few samples", ICML
2021. Fazel, Hindi, Boyd, "Log-det heuristic for matrix rank minimization", American Control Conference 2003.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.families.base import relative_distance
from flatmin.lab.boundary.estimates import UNKNOWN, Number, boundary_of, difference
from flatmin.lab.boundary.phase_map import columns_of
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import RECOVERED
from flatmin.lab.runs.experiment import Metrics, Parameters, Transition
from flatmin.measurements import Dense, Entries
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum
from flatmin.solvers.lowest_rank.reweighting import reweighted_minimum

__all__ = ["RECIPE", "cells_for_every_line", "judge", "recover", "show"]

PANELS = ("sensing", "completion")
METHODS = ("flat", "reweighted")
WORDS = {"flat": "the flat minimum", "reweighted": "reweighting"}
CONDITIONS = (1.0, 10.0, 1e5)
OVERSAMPLING = (1.1, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.5)
DIMENSION, RANK = 24, 2
#: A success has an error below this share of the smallest singular value of the truth.
RESOLVED = 1e-2


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return the recovery of one draw by one method, and the flatness of the result."""
    d, oversampling = DIMENSION, float(parameters["oversampling"])
    m = round(oversampling * RANK * (2 * d - RANK))
    rng = np.random.default_rng(seed)
    truth, least = _truth(d, RANK, float(parameters["condition"]), rng)
    measurement: Dense | Entries
    if parameters["panel"] == "sensing":
        measurement = Dense(rng.standard_normal((m, d, d)))
    else:
        measurement = Entries(*np.nonzero(cells_for_every_line(d, m, RANK, rng)), (d, d))
    problem = Problem(measurement, measurement.forward(truth))
    solve: Any = flat_minimum if parameters["method"] == "flat" else reweighted_minimum
    found = solve(problem, seed=seed)
    error = relative_distance(found.matrix, truth)
    resolved = float(np.linalg.norm(found.matrix - truth)) / least
    return {
        "error": error,
        "error_of_least": resolved,
        "success": bool(error < RECOVERED and resolved < RESOLVED),
        "rank_found": found.rank,
        "solved": found.status.name,
        "trace": float(found.checked_certificate.value),
        "trace_bound": float(found.checked_certificate.lower_bound),
        "certified": found.checked_certificate.holds,
        "iterations": found.iterations,
    }


def _truth(d: int, rank: int, condition: float, rng: np.random.Generator) -> tuple[Array, float]:
    """Return a matrix with uniform singular vectors, and its smallest singular value."""
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for _ in range(2))
    s = d * np.geomspace(1, 1 / condition, rank)
    return (U * s) @ V.T, float(s[-1])


def cells_for_every_line(d: int, m: int, least: int, rng: np.random.Generator) -> Array:
    """Return m random cells of a square matrix, (d, d) of bool, at least ``least`` of them in every row and column.

    The draw is uniform at first. While a row or column has too few cells, a cell from rows and columns that have more
    than they need is moved there. `InputError` is raised unless ``2 · least · d < m ≤ d²``.

    Examples
    --------
    >>> seen = cells_for_every_line(5, 21, 2, np.random.default_rng(0))
    >>> int(seen.sum()), int(min(seen.sum(axis=0).min(), seen.sum(axis=1).min())) >= 2
    (21, True)
    """
    if not 2 * least * d < m <= d * d:
        raise InputError(f"{m} cells were asked for, expected more than {2 * least * d} and at most {d * d}")
    seen = np.zeros((d, d), bool)
    seen.flat[rng.choice(d * d, m, replace=False)] = True
    while True:
        rows, cols = seen.sum(axis=1), seen.sum(axis=0)
        if min(rows.min(), cols.min()) >= least:
            return seen
        # With more than 2 · least · d cells, some row and column have more than they need and can spare a cell.
        spare = np.flatnonzero(seen & (rows > least)[:, None] & (cols > least))
        missing = np.flatnonzero(~seen & ((rows < least)[:, None] | (cols < least)))
        seen.flat[rng.choice(spare)] = False
        seen.flat[rng.choice(missing)] = True


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claim, sentence by sentence."""
    claims = [*_sets_in(evidence), *_misses(evidence), *_condition(evidence)]
    both = _compared(evidence)
    for panel in PANELS:
        part = both.select(panel=panel)
        alone = [r.metrics["excess"] for r in part.results if r.metrics["success"] and not r.metrics["flat_success"]]
        text = f"In {panel} where reweighting alone succeeds, its scaled trace over the certified least one"
        claims.append(claim_of_ratio(f"{text}, in the geometric mean", alone, above=1.01, level=shared_level(2)))
    together = [r.metrics["excess"] - 1 for r in both.results if r.metrics["success"] and r.metrics["flat_success"]]
    text = "Where both succeed, the largest relative excess of its scaled trace over the certified least one"
    claims.append(Claim.from_largest(text, together, below=1e-6))
    return claims


def _boundary(evidence: Evidence, level: float, **cell: Any) -> Number:
    """Return the boundary of one column, at least 1: fewer measurements cannot determine the matrix."""
    part = evidence.select(**cell)
    if not len(part):
        return UNKNOWN
    found = boundary_of(columns_of(part)[0], level)
    return found if math.isnan(found.estimate) else Number(*(max(end, 1.0) for end in found))


def _later(upper: Number, lower: Number) -> Number:
    """Return the difference of boundaries of independent draws, whose variances add up.

    Donner, Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation", Statistical
    Methods in Medical Research 21(4), 2012.
    """
    if math.isnan(upper.estimate) or math.isnan(lower.estimate):
        return UNKNOWN
    below = math.hypot(upper.estimate - upper.low, lower.high - lower.estimate)
    above = math.hypot(upper.high - upper.estimate, lower.estimate - lower.low)
    value = upper.estimate - lower.estimate
    return Number(value, value - below, value + above)


def _sets_in(evidence: Evidence) -> Iterator[Claim]:
    level = shared_level(len(PANELS) * len(CONDITIONS))
    unit = "measurements for each degree of freedom reweighting"
    cells = list(product(PANELS, CONDITIONS))
    for panel, condition in cells:
        text = f"In {panel} at condition {condition:g}, by how many {unit} sets in before the flat minimum"
        found = difference(evidence.select(panel=panel, condition=condition), "method", *METHODS, level)
        yield Claim(text, *found, above=0.5)
    for panel, condition in cells:
        text = f"In {panel} at condition {condition:g}, from how many {unit} recovers the truth"
        found = _boundary(evidence, level, method="reweighted", panel=panel, condition=condition)
        yield Claim(text, *found, below=1.5)


def _misses(evidence: Evidence) -> Iterator[Claim]:
    for words, conditions in (("1 and 10", [1.0, 10.0]), ("100000", [1e5])):
        pairs = evidence.select(condition=conditions).pairs("success", "method", *METHODS)
        text = (
            f"At condition {words}, of draws in which the flat minimum succeeds, the share in which reweighting fails"
        )
        yield Claim.from_share(text, pairs[pairs[:, 0] == 1, 1] == 0, below=0.1, level=shared_level(2))


def _condition(evidence: Evidence) -> Iterator[Claim]:
    worse = [condition for condition in CONDITIONS if condition != 1.0]
    level = shared_level(len(METHODS) * len(PANELS) * len(worse))
    for method, panel, condition in product(METHODS, PANELS, worse):
        part = evidence.select(panel=panel, method=method)
        high, low = (_boundary(part, level, condition=value) for value in (condition, 1.0))
        text = f"In {panel}, by how much later {WORDS[method]} sets in at condition {condition:g} than at 1"
        yield Claim(text, *_later(high, low), below=0.5)


def _compared(evidence: Evidence) -> Evidence:
    """Return the trials of reweighting whose draw has a certified flat minimum, with the metrics of both.

    ``excess`` is the scaled trace divided by the certified lower bound of the flat minimum. ``flat_success`` says
    whether the flat minimum succeeds.
    """
    flat = {_draw(result): result.metrics for result in evidence.select(method="flat").results}
    found = []
    for result in evidence.select(method="reweighted").results:
        other: Mapping[str, Any] = flat.get(_draw(result), {})
        if other.get("certified"):
            excess = result.metrics["trace"] / other["trace_bound"]
            metrics = result.metrics | {"excess": excess, "flat_success": other["success"]}
            found.append(replace(result, metrics=metrics))
    return Evidence(evidence.experiment, found)


def _draw(result: Any) -> tuple[Any, ...]:
    """Return the key of a draw, without the method."""
    parameters = result.trial.parameters
    return (*(parameters[name] for name in ("panel", "condition", "oversampling")), result.trial.seed)


def show(evidence: Evidence) -> list[Display]:
    """Return displays of success rates, flatness of the truth, and boundaries."""
    pictures: list[Display] = []
    words = "measurements for each degree of freedom"
    methods = {"flat": "flattest", "reweighted": "lowest rank, reweighted"}
    axes: dict[str, Any] = {"x": "oversampling", "x_label": words}
    rates = axes | {"y": "success", "y_label": "share of draws", "by": ("method", "condition"), "labels": methods}
    excess = axes | {"y": "excess", "y_label": "scaled trace over the certified least", "by": "condition"}
    ends: dict[str, Any] = {
        "over": "condition",
        "by": "method",
        "labels": methods,
        "x_label": "condition number of the truth",
    }
    for (panel,), part in evidence.split("panel").items():
        title, caption = (
            f"Shares of draws recovered, {panel}",
            "The name of a line is the method and the condition number of the truth.",
        )
        pictures.append(
            CurvesDisplay.from_evidence(part, f"{panel}-success", title, caption=caption, wide=True, **rates)
        )
        found = [r for r in _compared(part).results if r.metrics["success"]]
        if found:
            title = f"How much less flat than the flattest the truth is, {panel}"
            caption = "Draws that reweighting recovers; the excess is 1 if the truth is also flattest."
            both = Evidence(evidence.experiment, found)
            pictures.append(CurvesDisplay.from_evidence(both, f"{panel}-excess", title, caption=caption, **excess))
        if len(part.levels("oversampling")) > 1:
            title = f"Where recovery sets in, {panel}"
            pictures.append(BoundaryDisplay.from_evidence(part, f"{panel}-boundary", title, y_label=words, **ends))
    return pictures


RECIPE = Recipe(
    "reweighting",
    __doc__,
    recover,
    grid=[{"panel": PANELS, "condition": CONDITIONS, "method": METHODS, "oversampling": OVERSAMPLING}],
    repetitions=10,
    quick={
        "grid": [{"panel": ("sensing",), "condition": (1.0,), "method": METHODS, "oversampling": (1.25, 2.0, 3.0)}],
        "repetitions": 2,
    },
    paired=("method",),
    transition=Transition("oversampling", "success", lambda parameters: 1.0),
    judge=judge,
    show=show,
)
