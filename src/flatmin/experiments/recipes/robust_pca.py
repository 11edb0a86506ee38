"""Exact recovery by robust PCA, over rank and share of gross errors.

Square matrices with Gaussian factors, all cells observed, gross errors of random sign and of one to three times the
root mean square of the entries, in a random share of cells; ten draws of every cell of the map. A draw succeeds if the
relative error of the low-rank part is below 1e-6. What is solved is principal component pursuit, whose solutions are
flat; the metric is the identity, so flat and nuclear norm are the same.

Claim: low rank and gross errors are separated exactly below a share of errors that falls as the rank grows and is still
one tenth at rank d / 10, with no knowledge of either.

Refuted by: a boundary that does not fall with the rank, failures well below it, or failures at rank d / 10 with fewer
than one cell in ten wrong.

Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.
"""

from __future__ import annotations

from flatmin.experiments.recipe import Metrics, Parameters, Recipe
from flatmin.experiments.recovery import metrics_of_recovery
from flatmin.experiments.transition import Transition

__all__ = ["RECIPE", "separate"]

SHARES = (0.02, 0.05, 0.08, 0.11, 0.14, 0.17, 0.2, 0.23, 0.26, 0.3, 0.34, 0.38)


def separate(parameters: Parameters, seed: int) -> Metrics:
    """Return how well one draw is separated."""
    d, rank = int(parameters["d"]), int(parameters["rank"])
    sample = {"corruption": float(parameters["corruption"])}
    return metrics_of_recovery("robust-pca", (d, d), rank, None, seed, sample=sample)


RECIPE = Recipe(
    "robust-pca",
    __doc__,
    separate,
    grid=[{"d": (60,), "rank": (1, 2, 3, 4, 6, 8, 10, 12, 15), "corruption": SHARES}],
    repetitions=10,
    quick={"grid": [{"d": (40,), "rank": (1, 4, 8), "corruption": (0.05, 0.15, 0.25, 0.35)}], "repetitions": 2},
    transition=Transition("corruption", "success", lambda parameters: 1.0, falling=True),
)
