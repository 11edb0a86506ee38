"""Where recovery sets in, and what fails just below: single rows and columns.

Numbers of measurements are in units of the degrees of freedom, ``rho = m / (r (d1 + d2 − r))``. Gaussian sensing of
60×50 matrices of rank 2; completion of 100², 300² and 1000² matrices of rank 5. A score for each row and column, which
takes no solve, proves that a truth is not flattest if it is above 1. docs/recipes.md has definitions and exact shares.

Claim: Gaussian sensing recovers at rho from 2.5 to 2.67 and not from 1.83 to 2. In completion the threshold of 300² is
between 3 and 3.5, and that of 1000² between 4 and 5. No draw with a score above 1 is recovered, and few draws without
one fail. The thresholds of scores agree with predictions up to 0.2, and grow at least twice as fast as the coupon
collector's. Near the threshold failures are concentrated in single rows and columns, those with the largest score and
not those with the fewest cells.

Refuted by: an interval of one of these numbers beyond its limit. A draw that neither a solution nor a score decides
within the allowed steps counts against the claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.families.base import Instance, relative_distance
from flatmin.lab.boundary.estimates import Number
from flatmin.lab.boundary.posterior import fit_boundary
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import RECOVERED
from flatmin.lab.recipes._single_lines import line_scores, lines_that_hold, threshold_of_cells, threshold_of_scores
from flatmin.lab.runs.experiment import Block, Metrics, Parameters, Transition
from flatmin.lab.runs.store import Result
from flatmin.linalg.metric import svd_of_product
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "judge", "recover", "show"]

#: Largest number of Newton steps of a solve.
STEPS = 400
#: Differences in flatness, and differences of scores from 1, count as rounding up to this size.
ROUNDING = 1e-9
BEYOND = 1 + ROUNDING
#: The metric ``lines`` is the number of rows and columns that have this share of the squared error together.
MOST = 0.9
#: A draw is near the threshold if rho minus the predicted threshold is in this range.
NEAR = (-0.25, 0.5)
#: A draw is far below the threshold if rho is below the predicted threshold by at least this.
FAR = 1.0
#: Ranges of rho at which sensing recovers and does not recover.
ENOUGH, FEW = (2.5, 2.67), (1.83, 2.0)
#: Range of rho at which draws of 300×300 have no score above 1.
SEVERAL = (3.5, 3.75)
#: For the scores: dimensions with the smallest and the largest rho of each, and the step of rho.
SCORES, STEP = ((100, 1.5, 4.2), (300, 2.0, 4.5), (1000, 2.5, 5.0)), 0.005
#: Dimensions for which claims about the location of failures are made.
LOCATED = (100, 300)
#: Metrics that are None if there was no solve, or no error to locate.
UNKNOWN = (
    *("error", "error_elsewhere", "solved", "certified", "steps", "gap", "unique", "rank_found", "less_flat"),
    *("worst_share", "even_share", "lines", "worst_is_predicted", "worst_is_fewest"),
)


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return whether one draw is recovered, by a solution or by its scores, and the location of the error.

    Scores need no solve, and one above 1 proves that the truth is not flattest. With the method "score" only scores are
    computed; with "solved" a solve always follows, with "open" only if no score is above 1.
    """
    panel, method = str(parameters["panel"]), str(parameters["method"])
    d1, d2, rank = (int(parameters[name]) for name in ("d1", "d2", "rank"))
    m = round(float(parameters["rho"]) * rank * (d1 + d2 - rank))
    instance = families.find(f"matrix-{panel}").sample((d1, d2), rank, m, seed=seed)
    L, R = _factors(instance, rank, seed)
    scores = line_scores(instance.problem, L, R) if panel == "completion" else np.zeros(0)
    largest = float(scores.max(initial=0.0))
    metrics: Metrics = dict.fromkeys(UNKNOWN) | {
        "score": largest if np.isfinite(largest) else None,
        "lines_beyond": int(np.sum(scores > BEYOND)),
        "decided_by": "score",
        "success": largest <= BEYOND,
    }
    enough = method == "score" or (method == "open" and largest > BEYOND)
    return metrics if enough else metrics | _solved(instance, (L, R), scores, seed)


def _factors(instance: Instance, rank: int, seed: int) -> tuple[Array, Array]:
    """Return factors of the truth, computed from its products with a few random vectors."""
    truth = np.asarray(instance.truth)
    basis = np.linalg.qr(truth @ np.random.default_rng(seed).standard_normal((truth.shape[1], rank)))[0]
    return basis, truth.T @ basis


def _solved(instance: Instance, factors: tuple[Array, Array], scores: Array, seed: int) -> Metrics:
    """Return the metrics of the flat minimum of a draw."""
    problem, truth = instance.problem, np.asarray(instance.truth)
    beyond = bool(scores.max(initial=0.0) > BEYOND)
    solution = flat_minimum(problem, seed=seed, max_iter=STEPS)
    proof, error = solution.checked_certificate, relative_distance(solution.matrix, truth)
    D1, D2 = problem.metric
    flatness = 4 * float(svd_of_product(D1 @ factors[0], D2 @ factors[1])[1].sum())
    recovered = solution.status.certified and error < RECOVERED
    # A fit that is not exact may be flatter, but by less than the reach of its residual.
    flatter = flatness / proof.value - 1 > max(2 * proof.residual_reach, ROUNDING)
    metrics: Metrics = {
        "error": error,
        "solved": solution.status.name,
        "certified": solution.status.certified,
        "steps": solution.iterations,
        "gap": float(proof.relative_gap),
        "unique": proof.unique,
        "rank_found": solution.rank,
        "less_flat": flatness / proof.lower_bound - 1,
        "decided_by": "solution" if recovered or flatter else "score" if beyond else "nothing",
        "success": True if recovered else False if flatter or beyond else None,
    }
    return metrics if error < RECOVERED else metrics | _located(problem, solution.matrix - truth, truth, scores)


def _located(problem: Any, error: Array, truth: Array, scores: Array) -> Metrics:
    """Return how an error is distributed over rows and columns."""
    squares, size = error**2, float(np.sum(truth**2))
    total, d1 = float(squares.sum()), len(error)
    carried = np.concatenate([squares.sum(axis=1), squares.sum(axis=0)])
    even = np.concatenate([np.sum(truth**2, axis=1), np.sum(truth**2, axis=0)])
    worst = int(carried.argmax())
    metrics: Metrics = {
        "error_elsewhere": float(np.sqrt(max(total - carried[worst], 0.0) / size)),
        "worst_share": float(carried[worst] / total),
        "even_share": float(even.max() / size),
        "lines": lines_that_hold(squares, MOST),
    }
    if scores.size:
        counts = np.concatenate(problem.measurement.gram_diagonals())
        fewest = counts[:d1].min() if worst < d1 else counts[d1:].min()
        metrics |= {
            "worst_is_predicted": bool(worst == scores.argmax()),
            "worst_is_fewest": bool(counts[worst] == fewest),
        }
    return metrics


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claim, sentence by sentence."""
    sensing = evidence.select(panel="sensing", d1=60, d2=50)
    completion, scores = _solved_part(evidence), evidence.select(panel="completion", method="score")
    words, pair = "In Gaussian sensing of 60×50 matrices of rank 2, the share of draws recovered", shared_level(2)
    enough, few = _successes(_at(sensing, *ENOUGH), False), _successes(_at(sensing, *FEW), True)
    claims = [
        Claim.from_share(f"{words} at 2.5 to 2.67 degrees of freedom", enough, level=pair, above=0.9),
        Claim.from_share(f"{words} at 1.83 to 2 degrees of freedom", few, level=pair, below=0.1),
    ]
    for d, low, high in ((300, 3.0, 3.5), (1000, 4.0, 5.0)):
        text = f"In completion of {d}×{d} matrices of rank 5, the threshold in degrees of freedom"
        found = _threshold(completion.select(d1=d))
        claims += [Claim(text, *found, above=low), Claim(text, *found, below=high)]
    text = "In completion of 300×300 matrices of rank 5 at 3.5 to 3.75 degrees of freedom, the share of draws without"
    several = _at(scores.select(d1=300), *SEVERAL).values("success")
    claims.append(Claim.from_share(f"{text} a score above 1, a condition of recovery", several, above=0.9))
    claims += _of_scores(scores, completion)
    # With the method "open" only some draws are solved, so its failures do not represent all draws.
    failed = _failed(evidence.select(panel="completion", method="solved", d1=LOCATED))
    return claims + _of_failures(_within(failed, *NEAR), _within(failed, -np.inf, -FAR))


def _of_scores(scores: Evidence, completion: Evidence) -> list[Claim]:
    """Return the claims about scores."""
    beyond = [r for r in completion.results if r.metrics["lines_beyond"] and r.metrics["certified"]]
    text = "Of draws solved to a certificate, the number that are recovered in spite of a score above 1"
    count = sum(r.metrics["error"] < RECOVERED for r in beyond)
    claims = [Claim.exact(text, count, below=0) if beyond else Claim.open(text, below=0)]
    within = [
        r.metrics["success"] is not True for r in _within(completion, *NEAR).results if not r.metrics["lines_beyond"]
    ]
    text = "In completion near the threshold, the share of draws without a score above 1 that are not recovered"
    claims.append(Claim.from_share(text, within, below=0.1))
    level = shared_level(3)
    for d in (100, 300, 1000):
        text = f"In completion of {d}×{d} matrices of rank 5, how far the threshold of scores is from the predicted one"
        found, expected = _threshold(scores.select(d1=d), level), threshold_of_scores(d, 5)
        claims.append(Claim(text, *found.folded(expected), below=0.2))
    small, large = (_threshold(scores.select(d1=d), shared_level(2)) for d in (300, 1000))
    grown = threshold_of_cells(1000, 5) - threshold_of_cells(300, 5)
    text = "The growth of the threshold of scores from 300×300 to 1000×1000, over what the coupon collector says"
    ratio = Number(*((large[i] - small[j]) / grown for i, j in ((0, 0), (1, 2), (2, 1))))
    return [*claims, Claim(text, *ratio, above=2.0)]


def _of_failures(near: Evidence, far: Evidence) -> list[Claim]:
    """Return the claims about draws that are not recovered."""
    claims, pair = [], shared_level(len(LOCATED))
    places = [(near.select(d1=d), f"{d}×{d} matrices", "near the threshold", pair, {"above": 0.5}) for d in LOCATED]
    below = (far, "matrices", "far below the threshold", 0.95, {"below": 0.5})
    for part, size, place, level, limit in [*places, below]:
        words = f"Of draws of completion of {size} that fail {place}, the share in which"
        text = f"{words} one row or column carries more than half of the squared error"
        claims.append(Claim.from_share(text, part.values("worst_share") > 0.5, level=level, **limit))
        text = f"{words} at most three rows and columns hold 90 % of the squared error"
        claims.append(Claim.from_share(text, part.values("lines") <= 3, level=level, **limit))
    for part, size, place, level, limit in places:
        words = f"Of draws of completion of {size} that fail {place}, the share in which"
        text = f"{words} the truth is less flat than the bound by less than 1e-3"
        claims.append(Claim.from_share(text, part.values("less_flat") < 1e-3, level=level, **limit))
    words = "Of draws of completion that fail near the threshold, the share in which the worst row or column"
    predicted, fewest = near.values("worst_is_predicted"), near.values("worst_is_fewest")
    claims.append(Claim.from_share(f"{words} is the one with the largest score", predicted, above=0.75))
    return [*claims, Claim.from_share(f"{words} has the fewest cells", fewest, below=0.5)]


def _solved_part(evidence: Evidence) -> Evidence:
    """Return the draws of completion whose recovery was determined."""
    found = evidence.select(panel="completion", method=("solved", "open")).results
    same = [replace(r.trial, parameters={**r.trial.parameters, "method": "solved"}) for r in found]
    return Evidence(evidence.experiment, [replace(r, trial=trial) for r, trial in zip(found, same, strict=True)])


def _at(evidence: Evidence, low: float, high: float) -> Evidence:
    """Return the part within a range of rho."""
    return evidence.select(rho=[rho for rho in evidence.levels("rho") if low <= rho <= high])


def _within(evidence: Evidence, low: float, high: float) -> Evidence:
    """Return the part whose distance of rho from the predicted threshold is within a range."""
    return _where(
        evidence, lambda r: low <= round(float(r.trial.parameters["rho"]) - _predicted(r.trial.parameters), 6) <= high
    )


def _failed(evidence: Evidence) -> Evidence:
    """Return certified draws that are not recovered; without a certificate an error may be due to the solver."""
    return _where(evidence, lambda r: r.metrics["success"] is False and r.metrics["certified"] is True)


def _where(evidence: Evidence, chosen: Callable[[Result], bool]) -> Evidence:
    return Evidence(evidence.experiment, [r for r in evidence.results if chosen(r)])


def _successes(evidence: Evidence, undecided: bool) -> list[bool]:
    """Return whether draws are recovered, with a given answer for undecided ones."""
    outcomes = [r.metrics["success"] for r in evidence.results]
    return [undecided if success is None else success for success in outcomes]


def _threshold(evidence: Evidence, level: float = 0.95) -> Number:
    """Return the threshold with a band that allows for both answers of undecided draws."""
    cells = evidence.split("rho")
    points, parts = [float(rho) for (rho,) in cells], cells.values()
    if len(points) < 2:
        return Number(np.nan, -np.inf, np.inf)
    early, late = (
        fit_boundary(points, [sum(_successes(part, undecided)) for part in parts], [*map(len, parts)], level=level)
        for undecided in (True, False)
    )
    low = early.low if early.low >= points[0] else -np.inf
    high = late.high if late.high <= points[-1] else np.inf
    return Number((early.value + late.value) / 2, low, high)


def _predicted(parameters: Mapping[str, Any]) -> float:
    """Return the predicted threshold of scores, for square matrices much larger than their rank, otherwise NaN."""
    try:
        return threshold_of_scores(int(parameters["d1"]), int(parameters["rank"]))
    except InputError:
        return np.nan


def show(evidence: Evidence) -> list[Display]:
    """Return displays of success, location of errors, and thresholds."""
    pictures: list[Display] = []
    along: dict[str, Any] = {"x": "rho", "x_label": "measurements / degrees of freedom", "by": "d1"}
    sensing = evidence.select(panel="sensing", d1=60, d2=50)
    solved, scores = _solved_part(evidence), evidence.select(panel="completion", method="score")
    completion = Evidence(evidence.experiment, [*solved.results, *scores.results])
    for part, name, title, label in (
        (sensing, "sensing", "Recovery in Gaussian sensing, 60×50, rank 2", "share of draws recovered"),
        (solved, "completion", "Recovery in completion, rank 5", "share of draws recovered"),
        (
            _thinned(scores),
            "scores",
            "Draws of completion without a score above 1, rank 5",
            "share without a score above 1",
        ),
    ):
        if len(part.values("success")):
            settings = along | {"labels": _sizes(part), "y": "success", "y_label": label}
            pictures.append(CurvesDisplay.from_evidence(part, name, title, **settings))
    if len(completion):
        known = np.isfinite([_predicted(cell) for cell in completion.experiment.cells]).all()
        pictures.append(
            BoundaryDisplay.from_evidence(
                completion,
                "thresholds",
                "Thresholds of completion, rank 5",
                over="d1",
                by="method",
                predicted=_predicted if known else None,
                labels={"solved": "half are recovered", "score": "half have no score above 1"},
                x_label="dimension",
                y_label="threshold, in degrees of freedom",
                caption="The prediction is for scores, from their distribution.",
            )
        )
    return pictures + _of_failed_draws(_failed(solved), along)


def _of_failed_draws(failed: Evidence, along: dict[str, Any]) -> list[Display]:
    """Return displays of the location of errors; none without failed draws."""
    if not len(failed):
        return []
    labels = _sizes(failed)
    settings = along | {"centre": "median", "labels": labels}
    title = "What the worst row or column carries, of failed draws"
    carried: dict[str, Any] = {"y": "worst_share", "y_label": "share of the squared error"}
    pictures: list[Display] = [CurvesDisplay.from_evidence(failed, "worst-line", title, **carried, **settings)]
    title = "Rows and columns that hold 90 % of the squared error, of failed draws"
    settings |= {"y": "lines", "y_log": True, "y_label": "rows and columns"}
    pictures.append(CurvesDisplay.from_evidence(failed, "lines", title, **settings))
    if len(failed.values("score")):
        title = "Error of failed draws against the largest score"
        axes: dict[str, Any] = {"x_label": "largest score", "y_label": "relative error", "x_log": True, "y_log": True}
        settings = {"x": "score", "y": "error", "by": "d1", "labels": labels}
        pictures.append(ScatterDisplay.from_evidence(failed, "error", title, **settings, **axes))
    return pictures


def _thinned(evidence: Evidence) -> Evidence:
    """Return the part at multiples of 0.2, so that points do not overlap."""
    return evidence.select(rho=[rho for rho in evidence.levels("rho") if abs(5 * rho - round(5 * rho)) < 1e-6])


def _sizes(evidence: Evidence) -> dict[Any, str]:
    """Return the labels of dimensions."""
    return {
        d1: " and ".join(f"{d1}×{d2}" for d2 in evidence.select(d1=d1).levels("d2")) for d1 in evidence.levels("d1")
    }


def _grid(panel: str, method: str, shape: tuple[int, int], rank: int, rho: Sequence[float]) -> Block:
    points = tuple(round(float(x), 4) for x in rho)
    return {"panel": (panel,), "method": (method,), "d1": shape[:1], "d2": shape[1:], "rank": (rank,), "rho": points}


def _span(low: float, high: float, step: float = 0.0125) -> Sequence[float]:
    return [float(x) for x in np.arange(low, high + step / 2, step)]


RECIPE = Recipe(
    "thresholds",
    __doc__,
    recover,
    grid=[
        *(_grid("sensing", "solved", (60, 50), 2, rho) for rho in (_span(1.8375, 2.0), (2.1, 2.2, 2.3, 2.4))),
        _grid("sensing", "solved", (60, 50), 2, _span(2.5, 2.6625)),
        _grid("completion", "solved", (100, 100), 5, (1.4, 1.5, 1.6, *_span(2.4, 3.1, 0.05))),
        _grid("completion", "solved", (300, 300), 5, (3.0, 3.3)),
        _grid("completion", "open", (300, 300), 5, (2.6, 2.7, 2.8, 2.9, 3.1, 3.2, 3.4, 3.5, 3.6, 4.0)),
        _grid("completion", "open", (1000, 1000), 5, (2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.5)),
        *(_grid("completion", "score", (d, d), 5, _span(low, high, STEP)) for d, low, high in SCORES),
    ],
    repetitions=3,
    quick={
        "grid": [
            _grid("sensing", "solved", (30, 25), 2, (1.5, 3.0)),
            _grid("completion", "solved", (40, 40), 2, (2.0, 4.5)),
            _grid("completion", "score", (40, 40), 2, (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
        ],
        "repetitions": 2,
    },
    paired=("method",),
    transition=Transition("rho", "success", lambda parameters: 1.0),
    judge=judge,
    show=show,
)
