"""A cap on the rank and the power of the metric, in penalised completion of tables like ratings.

Matrices of 40×30 with singular values ``1/k``, k = 1 … 12, unevenly observed, with noise. ``loss + alpha · ‖D1^p X
D2^p‖_*`` is minimised over matrices up to a rank, the cap, along a path of alphas; each p and cap is judged at its best
alpha by the error in unobserved cells. All norms and caps see the same draws. docs/recipes.md explains the confounding.

Claim: below the certified rank, the cap and the power are confounded. Without a cap the error of p = 0 is larger than
that of p = 1; caps of 2 and 4 change this difference by at least 0.5 % of the error on average, and by at least 1 % in
half of the draws; a cap of 16 changes it by at least 1 % in at most one of five draws, and by at most 0.1 % on average.
At the best alpha, caps at or above the certified rank give the certified solution without a cap up to 1e-4, for every
cap and power, in four of five draws; in at most one of five draws any cap below that rank gives a certified solution.
From caps of 2 on the best alpha is inside the range in four of five draws.

Refuted by: an interval of one of these numbers beyond its limit. Intervals of means are Student's for pairs of the same
draw, those of shares are exact. The intervals of the two small caps hold together with 95 % confidence.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.base import relative_distance
from flatmin.lab.boundary.estimates import Number
from flatmin.lab.claims import Claim, interval, shared_level
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.lab.runs.store import Result
from flatmin.measurements.entries import Entries
from flatmin.problem import Problem
from flatmin.solvers.alphas.path import flat_path
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "complete", "judge", "show"]

SHAPE, RANK, CELLS, NOISE = (40, 30), 12, 450, 0.3
#: A cap as large as the smaller dimension has no effect.
NO_CAP = min(SHAPE)
CAPS, POWERS = (1, 2, 4, 8, 16, NO_CAP), (0.0, 0.5, 1.0)
#: Ratio of each strength to the one before, number of strengths, and number of strengths tried without a tight cap: for
#: weaker ones ranks and times are large, and the errors have grown long before.
STEP, STRENGTHS, STRONG = 0.7, 14, 9
TIGHT = 8
LABELS = {0.0: "p = 0, nuclear", 0.5: "p = ½", 1.0: "p = 1, flat"}
#: The title, the label of the vertical axis and the caption of the picture of each metric.
PICTURES = {
    "error": (
        "Error in unseen cells against the cap, at the best strength",
        "relative error",
        f"A cap of {NO_CAP} is none.",
    ),
    "moved": (
        "Distance from the solution without a cap, at the same strength",
        "relative distance",
        "The distance is zero for caps of at least the certified rank.",
    ),
    "strength": (
        "Best strength against the cap",
        f"steps from the strongest, each a factor of {STEP:g}",
        "A higher point is a weaker penalty.",
    ),
}
#: Two solutions count as equal if their relative distance is below this.
SAME = 1e-4


def complete(parameters: Parameters, seed: int) -> Metrics:
    """Return the error in unobserved cells of one norm under one cap, at the best alpha."""
    cap, power, skew = int(parameters["cap"]), float(parameters["power"]), float(parameters["skew"])
    problem, truth, chances = _drawn(skew, seed)
    count = STRENGTHS if cap <= TIGHT else STRONG
    path = flat_path(
        problem,
        n_alphas=count,
        ratio=STEP ** (count - 1),
        metric_power=power,
        max_rank=None if cap == NO_CAP else cap,
        seed=seed,
    )
    errors = [_error(solution.matrix, truth, chances) for solution in path.solutions]
    best = int(np.argmin(errors))
    found, alpha = path.solutions[best], float(path.alphas[best])
    whole = flat_minimum(problem, alpha=alpha, metric_power=power, seed=seed)
    return {
        "error": errors[best],
        "error_without_cap": _error(whole.matrix, truth, chances),
        "certified": found.status.certified,
        "solved": found.status.name,
        "rank_found": found.rank,
        "certified_rank": whole.rank if whole.status.certified else None,
        "moved": relative_distance(found.matrix, whole.matrix),
        "strength": best,
        "inside": 0 < best < count - 1,
    }


def _drawn(skew: float, seed: int) -> tuple[Problem, Array, Array]:
    """Return a problem, its true matrix, and the probabilities of its unobserved cells."""
    rng = np.random.default_rng(seed)
    d1, d2 = SHAPE
    U, V = (np.linalg.qr(rng.standard_normal((d, RANK)))[0] for d in SHAPE)
    truth = (U / np.arange(1, RANK + 1.0)) @ V.T
    truth *= np.sqrt(d1 * d2) / np.linalg.norm(truth)
    chances = np.outer(*[np.arange(1, d + 1.0) ** -skew for d in SHAPE])
    cells = np.sort(rng.choice(d1 * d2, CELLS, replace=False, p=(chances / chances.sum()).ravel()))
    measurement = Entries(*np.divmod(cells, d2), SHAPE)
    data = measurement.forward(truth) + NOISE * rng.standard_normal(CELLS)
    chances.ravel()[cells] = 0.0
    return Problem(measurement, data), truth, chances


def _error(matrix: Array, truth: Array, chances: Array) -> float:
    return float(np.sqrt(np.sum(chances * (matrix - truth) ** 2) / np.sum(chances * truth**2)))


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claim, sentence by sentence."""
    whole = _advantages(evidence, NO_CAP)
    text = "Without a cap, the logarithm of the error of p = 0 over that of p = 1, on average"
    claims = [Claim.from_mean(text, whole.values(), above=0.0)]
    changes = {cap: _changes(evidence, cap) for cap in (2, 4, 16)}
    for cap in (2, 4):
        text = f"By how much a cap of {cap} changes the logarithm of the error of p = 0 over that of p = 1, on average"
        claims.append(_of_size(text, changes[cap], shared_level(2), above=0.005))
    for cap in (2, 4):
        text = f"The share of draws in which a cap of {cap} changes it by one per cent of the error or more"
        large = np.abs(changes[cap]) >= 0.01
        claims.append(Claim.from_share(text, large, level=shared_level(2), above=0.5))
    wide, tight = _by_rank(evidence)
    from_two = evidence.select(cap=[cap for cap in evidence.levels("cap") if cap > 1]).results
    same = _by_draw(wide, lambda m: bool(m["certified"]) and m["moved"] < SAME, all)
    certified = _by_draw(tight, lambda m: bool(m["certified"]), any)
    inside = _by_draw(from_two, lambda m: bool(m["inside"]), all)
    share, gives = "The share of draws in which", "the certified rank gives a certified solution"
    text = f"{share} a cap of 16, as a control, changes it as much"
    return [
        *claims,
        Claim.from_share(text, np.abs(changes[16]) >= 0.01, below=0.2),
        Claim.from_share(f"{share} every cap at or above {gives} that is the one without a cap", same, above=0.8),
        Claim.from_share(f"{share} any cap below {gives}", certified, below=0.2),
        _of_size("By how much a cap of 16 changes it, on average", changes[16], 0.95, below=0.001),
        Claim.from_share(f"{share} with every cap from 2 on the best strength is inside the range", inside, above=0.8),
    ]


def _by_draw(
    results: Iterable[Result], outcome: Callable[[Metrics], bool], over: Callable[[Iterable[bool]], bool]
) -> list[bool]:
    """Return one truth value per draw, over all caps and powers, which are not independent within a draw."""
    draws: dict[int, list[bool]] = {}
    for result in results:
        draws.setdefault(result.trial.seed, []).append(outcome(result.metrics))
    return [over(outcomes) for outcomes in draws.values()]


def _advantages(evidence: Evidence, cap: int) -> dict[int, float]:
    """Return, by the seed of the draw, the logarithm of (error of p = 0) / (error of p = 1) under a cap."""
    part = evidence.select(cap=cap)
    nuclear, flat = (
        {result.trial.seed: result.metrics["error"] for result in part.select(power=power).results}
        for power in (0.0, 1.0)
    )
    return {seed: float(np.log(error / flat[seed])) for seed, error in nuclear.items() if seed in flat}


def _changes(evidence: Evidence, cap: int) -> Array:
    """Return the change of the advantage by a cap, for each draw."""
    whole, capped = _advantages(evidence, NO_CAP), _advantages(evidence, cap)
    return np.array([capped[seed] - whole[seed] for seed in whole if seed in capped])


def _by_rank(evidence: Evidence) -> tuple[list[Result], list[Result]]:
    """Return the results under caps at or above the certified rank, and below it."""
    wide: list[Result] = []
    tight: list[Result] = []
    for result in evidence.results:
        cap, rank = int(result.trial.parameters["cap"]), result.metrics["certified_rank"]
        if cap < NO_CAP and rank is not None:
            (wide if cap >= rank else tight).append(result)
    return wide, tight


def _of_size(text: str, values: Array, level: float, **limit: float) -> Claim:
    """Return a claim about the absolute value of a mean."""
    if len(values) < 2:
        return Claim.open(text, **limit)
    return Claim(text, *Number(float(np.mean(values)), *interval(values, level)).folded(0.0), **limit)


def show(evidence: Evidence) -> list[Display]:
    """Return displays of errors, best alphas and distances from the solution without a cap, against the cap."""
    if not len(evidence):
        return []
    labels = {power: words for power, words in LABELS.items() if power in evidence.levels("power")}
    axes: dict[str, Any] = {"x": "cap", "x_label": "cap on the rank", "x_log": True, "by": "power", "labels": labels}
    return [
        CurvesDisplay.from_evidence(evidence, metric, title, y=metric, y_label=label, caption=caption, **axes)
        for metric, (title, label, caption) in PICTURES.items()
    ]


RECIPE = Recipe(
    "rank-cap",
    __doc__,
    complete,
    grid=[{"cap": CAPS, "power": POWERS, "skew": (0.6,)}],
    repetitions=20,
    quick={"grid": [{"cap": (2, 4), "power": (0.0, 1.0), "skew": (0.6,)}], "repetitions": 1},
    paired=("cap", "power"),
    judge=judge,
    show=show,
)
