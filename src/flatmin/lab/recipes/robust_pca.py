"""Exact recovery by robust PCA, over rank and share of gross errors.

Square matrices with Gaussian factors, all cells observed, gross errors of random sign in a random share of the cells. A
draw succeeds if the relative error of the low-rank part is below 1e-6. The metric is the identity, so the flat norm is
the nuclear norm. docs/recipes.md has further remarks.

Claim: low rank and gross errors are separated exactly below a share of errors that decreases with the rank, by at least
0.01 per rank of 60×60 matrices on average, and never increases by more than 0.02. At rank d / 10 this share is above
one tenth, and with 10 % wrong cells more than 90 % of the draws are recovered, for d from 40 to 100. Up to the lower
end of the band divided by 1.25, at least 98 % are recovered.

Refuted by: a boundary that decreases more slowly, increases, or is below one tenth at rank d / 10; more than one
failure in ten there; or more than one in fifty far below the boundary.

Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from flatmin.lab.boundary.estimates import UNKNOWN, Number, beyond, boundary_of, slope_over
from flatmin.lab.boundary.phase_map import Column, columns_of
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, PhaseMapDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import metrics_of_recovery
from flatmin.lab.runs.experiment import Metrics, Parameters, Transition

__all__ = ["RECIPE", "judge", "separate", "show"]

#: The dimension of the phase map; the claimed largest slope and rise of its boundary, and the factor below its band.
D = 60
FALLS, RISES, FACTOR = -0.01, 0.02, 1.25

SHARES = (0.02, 0.05, 0.08, 0.1, 0.13, 0.16, 0.19, 0.22, 0.26, 0.3, 0.34, 0.38)


def separate(parameters: Parameters, seed: int) -> Metrics:
    """Return the recovery of one draw."""
    d, rank = int(parameters["d"]), int(parameters["rank"])
    sample = {"corruption": float(parameters["corruption"])}
    return metrics_of_recovery("robust-pca", (d, d), rank, None, seed, sample=sample)


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims about the boundary of the map, and about rank d / 10 at several dimensions."""
    columns = [column for column in columns_of(evidence, d=D) if sum(n > 0 for n in column.trials) > 2]
    columns.sort(key=lambda column: column.parameters["rank"])
    text = f"The slope of the boundary, a share of gross errors, in the rank of {D}×{D} matrices"
    slope = slope_over(columns, lambda column: float(column.parameters["rank"]), lambda _, share: share)
    claims = [Claim(text, *slope, below=FALLS)]
    text = "The largest rise of the boundary from a rank to the next, bands at 95 % together"
    claims.append(Claim(text, *_largest_rise(columns), below=RISES))
    text = f"The boundary at rank {D // 10} of {D}×{D} matrices, a share of gross errors"
    at_tenth = [boundary_of(column) for column in columns if 10 * column.parameters["rank"] == D]
    claims.append(Claim(text, *(at_tenth or [UNKNOWN])[0], above=0.1))
    tenth = [r.metrics["success"] for r in evidence.select(corruption=0.1).results if _at_a_tenth(r.trial.parameters)]
    text = "The share of draws recovered at rank d / 10 with one cell in ten wrong, d from 40 to 100"
    claims.append(Claim.from_share(text, tenth, above=0.9))
    text = f"The share of draws recovered where the share of errors is at most the band's lower end over {FACTOR}"
    return [*claims, Claim.from_count(text, *beyond(columns, FACTOR), above=0.98)]


def _at_a_tenth(parameters: Parameters) -> bool:
    return 10 * int(parameters["rank"]) == int(parameters["d"]) and float(parameters["corruption"]) <= 0.1


def _largest_rise(columns: list[Column]) -> Number:
    """Return the largest increase of the boundary from one rank to the next."""
    if len(columns) < 2:
        return UNKNOWN
    each = shared_level(len(columns) - 1)
    rises = []
    # The lower end of a band is infinite if no smaller share was tried, but a share is never negative.
    found = [at._replace(low=max(at.low, 0.0)) for at in (boundary_of(column, each) for column in columns)]
    for a, b in pairwise(found):
        down, up = np.hypot(b.estimate - b.low, a.high - a.estimate), np.hypot(b.high - b.estimate, a.estimate - a.low)
        rise = b.estimate - a.estimate
        rises.append((rise, rise - down, rise + up))
    return Number(*(float(max(parts)) for parts in zip(*rises, strict=True)))


def show(evidence: Evidence) -> list[Display]:
    """Return the phase map over rank and share of errors, and the success rate at rank d / 10."""
    axes: dict[str, Any] = {"over": "rank", "x_label": "rank", "y_label": "share of gross errors"}
    title = "Robust PCA of {0}×{0} matrices: exact separation"
    displays: list[Display] = [
        PhaseMapDisplay.from_evidence(part, f"map-{d}", title.format(d), **axes)
        for (d,), part in evidence.split("d").items()
        if len(part.levels("rank")) > 1
    ]
    several = evidence.select(corruption=(0.05, 0.1))
    tenth = Evidence(evidence.experiment, [r for r in several.results if _at_a_tenth(r.trial.parameters)])
    if len(tenth):
        title = "Rank d / 10: exact separation over the dimension"
        labels = {share: f"{100 * share:.0f} % of cells wrong" for share in tenth.levels("corruption")}
        axes = {"x": "d", "y": "success", "x_label": "dimension d", "y_label": "share recovered"}
        displays.append(CurvesDisplay.from_evidence(tenth, "tenth", title, by="corruption", labels=labels, **axes))
    return displays


RECIPE = Recipe(
    "robust-pca",
    __doc__,
    separate,
    grid=[
        {"d": (D,), "rank": (1, 2, 3, 4, 6, 8, 10, 12, 15), "corruption": SHARES},
        *({"d": (d,), "rank": (d // 10,), "corruption": (0.05, 0.1)} for d in (40, 50, 60, 70, 80, 90, 100)),
    ],
    repetitions=10,
    quick={"grid": [{"d": (30,), "rank": (1, 3, 6), "corruption": (0.05, 0.15, 0.25, 0.35)}], "repetitions": 2},
    transition=Transition("corruption", "success", lambda parameters: 1.0, falling=True),
    judge=judge,
    show=show,
)
