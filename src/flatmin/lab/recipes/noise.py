"""Errors of exact, penalised, refitted, cross-validated and oracle fits against the level of Gaussian noise.

Sensing of 24×20 and completion of 40×40 matrices of rank 2, with noise from 0.001 to 3 times the root mean square of
the data. The penalty comes from the square-root rule, which does not know the noise, or from five-fold
cross-validation. The refit is least squares at the rank found with the rule; the oracle is least squares at the true
rank. Noise is moderate up to 0.3 times the data. docs/recipes.md discusses the failures.

Claim: at moderate noise the refit has the right rank in nine of ten draws. In the geometric mean its error is at most
1.05 times that of the oracle. The errors of the refit and of the penalised solution are powers of the noise with
exponents within 0.05 of 1. In 95 of 100 draws the estimated level of noise is within three standard deviations of the
drawn noise. Cross-validation gives too large a rank in nine of ten draws, and 1.4 to 1.8 times the oracle's error. An
exact fit has a larger error than any other method, and at least twice the true rank in nine of ten draws. With noise of
three times the data the weaker component of the truth is below the noise in every draw, and the refit's rank is too
small in more than half.

Refuted by: any of these numbers, for sensing or for completion, on the other side of its limit with its whole interval.
The intervals of all comparisons of the same kind hold together with 95 % confidence.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.families.base import Instance, relative_distance
from flatmin.lab.boundary.estimates import Number
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio, power_law
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solvers.alphas.cross_validation import cross_validate
from flatmin.solvers.choose import flat_minimum
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.refit import least_squares, unscaled

__all__ = ["RECIPE", "fit", "judge", "show"]

#: Family, shape, rank and number of measurements of each panel.
PANELS: dict[str, tuple[str, tuple[int, int], int, int]] = {
    "sensing": ("matrix-sensing", (24, 20), 2, 320),
    "completion": ("matrix-completion", (40, 40), 2, 800),
}
METHODS = ("exact", "penalised", "refit", "cross-validated", "oracle")
LEVELS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: The largest level of "moderate" noise, and the level at which the weaker component is buried, relative to the data.
MODERATE, BURIED = 0.3, 3.0
#: Number of alphas in cross-validation, and the ratio of the smallest to the largest, low enough for the least noise.
STRENGTHS, WEAKEST = 30, 5e-5
#: Penalty on the oracle's misfit, so large that it is a least-squares fit, and the relative gradient at which it ends.
ORACLE_PRICE, ORACLE_TOL = 1e5, 1e-9
LABELS = {
    "exact": "exact fit",
    "penalised": "penalised, automatic strength",
    "refit": "refit of it",
    "cross-validated": "penalised, cross-validated",
    "oracle": "oracle of the true rank",
}


def fit(parameters: Parameters, seed: int) -> Metrics:
    """Return the errors of one method and of the oracle in one draw."""
    name, shape, rank, m = PANELS[str(parameters["panel"])]
    level, method = float(parameters["noise"]), str(parameters["method"])
    instance = families.find(name).sample(shape, rank, m, noise=level, seed=seed)
    problem, truth = instance.problem, np.asarray(instance.truth)
    best = problem.parametrization.matrix(_oracle(problem, truth, rank, seed))
    metrics: Metrics = {"rank_found": rank}
    matrix = best
    if method != "oracle":
        matrix, metrics = _solved(problem, method, seed)
    least, error = relative_distance(best, truth), relative_distance(matrix, truth)
    weakest, size = _noise(instance, rank)
    found, doubt = metrics.pop("sigma", None), metrics.pop("doubt", None)
    return {
        "error": error,
        "error_over_noise": error / level,
        "over_oracle": error / least,
        "rank_found": metrics["rank_found"],
        "right_rank": metrics["rank_found"] == rank,
        "sigma": found,
        "deviation": (found - size) / doubt if found is not None and doubt else None,
        "weakest": weakest,
        "solved": metrics.get("solved"),
        "at_edge": metrics.get("at_edge"),
    }


def _solved(problem: Problem, method: str, seed: int) -> tuple[Array, Metrics]:
    """Return the matrix that a method finds without the truth, its rank or the noise, and further metrics."""
    metrics: Metrics = {}
    if method == "cross-validated":
        found = cross_validate(problem, n_alphas=STRENGTHS, ratio=WEAKEST, seed=seed)
        solution, metrics["at_edge"] = found.solution, found.at_edge
    else:
        solution = flat_minimum(problem, alpha=0.0 if method == "exact" else "auto", seed=seed)
    matrix, noise = solution.matrix, solution.noise
    metrics |= {"solved": solution.status.name, "rank_found": solution.rank}
    if noise is not None:
        metrics |= {"sigma": noise.sigma, "doubt": noise.std_error}
        if method == "refit":
            matrix, metrics["rank_found"] = problem.parametrization.matrix(noise.refit), noise.rank
    return np.asarray(matrix), metrics


def _oracle(problem: Problem, truth: Array, rank: int, seed: int) -> Factors:
    """Return the least-squares fit of the true rank that a descent reaches from the truth."""
    scaled = Scaled.from_problem(problem, 1.0, seed, weighted=False)
    D1, D2 = (D.power(1) @ np.eye(d) for D, d in zip(scaled.metric, problem.shape, strict=True))
    U, s, V = problem.parametrization.cone.decompose(D1 @ truth @ D2, np.eye(problem.shape[1]))
    start = scaled.model.stack(U[:, :rank], s[:rank] / scaled.to_z, V[:, :rank])
    end = least_squares(scaled, start, ORACLE_PRICE, Clock(None, None), ORACLE_TOL)
    return unscaled(problem, scaled, end.x)


def _noise(instance: Instance, rank: int) -> tuple[float, float]:
    """Return the smallest singular value of the truth divided by what the noise adds, and the size of the noise."""
    measurement, truth = instance.problem.measurement, np.asarray(instance.truth)
    errors = instance.problem.data - measurement.forward(truth)
    average = float(np.sum(measurement.norms() ** 2)) / truth.size
    added = float(np.linalg.norm(measurement.adjoint(errors), 2)) / average
    return float(np.linalg.svd(truth, compute_uv=False)[rank - 1]) / added, float(np.sqrt(np.mean(errors**2)))


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claim, sentence by sentence."""
    panels = list(PANELS)
    moderate = evidence.select(noise=[level for level in evidence.levels("noise") if level <= MODERATE])
    by = {panel: moderate.select(panel=panel) for panel in panels}
    claims = list(_premise(evidence, by))
    for panel in panels:
        text = f"In {panel} at moderate noise, the share of draws in which the refit has the right rank"
        outcomes = by[panel].select(method="refit").values("right_rank")
        claims.append(Claim.from_share(text, outcomes, above=0.9, level=shared_level(2)))
    claims += [_over_oracle(by[panel], panel, "refit", "the refit", below=1.05) for panel in panels]
    claims += [*_proportional(by), *_level(by), *_cross_validated(by), *_exact(by)]
    buried = evidence.select(noise=BURIED, method="refit")
    for panel in panels:
        text = f"In {panel} with noise of three times the data, the share of draws in which"
        small = buried.select(panel=panel).values("rank_found") < PANELS[panel][2]
        claims.append(
            Claim.from_share(f"{text} the refit's rank is too small", small, above=0.5, level=shared_level(2))
        )
    return claims


def _premise(evidence: Evidence, by: dict[str, Evidence]) -> Iterator[Claim]:
    """Give the claims that the weaker component exceeds moderate noise and is below larger noise."""
    ratio = "the weaker component of the truth over what the noise adds, in the draw in which that is"
    for panel, moderate in by.items():
        text, values = f"In {panel} at moderate noise, {ratio} least", moderate.values("weakest")
        yield Claim.from_smallest(text, values, above=1.0)
    for panel in by:
        text = f"In {panel} with noise of three times the data, {ratio} most"
        values = evidence.select(panel=panel, noise=BURIED).values("weakest")
        yield Claim.from_largest(text, values, below=1.0)


def _over_oracle(
    evidence: Evidence, panel: str, method: str, words: str, comparisons: int = 2, **limit: float
) -> Claim:
    text = f"In {panel} at moderate noise, the error of {words} over that of the oracle, in the geometric mean"
    ratios = evidence.select(method=method).values("over_oracle")
    return claim_of_ratio(text, ratios, level=shared_level(comparisons), **limit)


def _level(by: dict[str, Evidence]) -> list[Claim]:
    """Return the claims about the estimated level of noise and its standard error.

    The standard error is for the level from which noise is drawn. The drawn noise is nearer to the estimate: with f of
    m degrees of freedom fitted, the variance of their difference is f/m of the squared standard error.
    """
    off = []
    for panel, evidence in by.items():
        _, shape, rank, m = PANELS[panel]
        fitted = rank * (sum(shape) - rank) / m
        off.append(evidence.select(method="refit").values("deviation") / np.sqrt(fitted))
    deviations = np.abs(np.concatenate(off))
    text = "the deviation of the level that is found from the noise as drawn"
    share = f"At moderate noise, the share of draws in which {text} is at most three of its standard deviations"
    square = f"At moderate noise, the mean square of {text}, in its standard deviations"
    return [Claim.from_share(share, deviations <= 3, above=0.95), Claim.from_mean(square, deviations**2, below=1.5)]


def _proportional(by: dict[str, Evidence]) -> Iterator[Claim]:
    for method, words in (("refit", "the refit"), ("penalised", "the penalised solution")):
        for panel, evidence in by.items():
            text = f"In {panel} at moderate noise, how far the exponent of the error of {words} against noise is from 1"
            part = evidence.select(method=method)
            noise = [result.trial.parameters["noise"] for result in part.results]
            exponent = Number(*power_law(noise, part.values("error"), shared_level(4)))
            yield Claim(text, *exponent.folded(1.0), below=0.05)


def _cross_validated(by: dict[str, Evidence]) -> Iterator[Claim]:
    for panel, evidence in by.items():
        text = f"In {panel} at moderate noise, the share of draws in which cross-validation has too large a rank"
        larger = evidence.select(method="cross-validated").values("rank_found") > PANELS[panel][2]
        yield Claim.from_share(text, larger, above=0.9, level=shared_level(2))
    for limit in ({"above": 1.4}, {"below": 1.8}):
        for panel, evidence in by.items():
            yield _over_oracle(evidence, panel, "cross-validated", "cross-validation", 4, **limit)
    for panel, evidence in by.items():
        text = f"In {panel} at moderate noise, the share of draws in which cross-validation chooses the weakest or the"
        at_edge = evidence.select(method="cross-validated").values("at_edge")
        yield Claim.from_share(f"{text} strongest penalty that it tries", at_edge, below=0.1, level=shared_level(2))


def _exact(by: dict[str, Evidence]) -> Iterator[Claim]:
    for panel, evidence in by.items():
        for method, words in (
            ("penalised", "the penalised solution"),
            ("refit", "the refit"),
            ("cross-validated", "cross-validation"),
        ):
            text = f"In {panel} at moderate noise, the error of an exact fit over that of {words}"
            pairs = evidence.pairs("error", "method", "exact", method)
            ratios = pairs[:, 0] / pairs[:, 1]
            yield claim_of_ratio(f"{text}, in the geometric mean", ratios, above=1.0, level=shared_level(6))
        text = f"In {panel} at moderate noise, the share of draws in which an exact fit has at least"
        large = evidence.select(method="exact").values("rank_found") >= 2 * PANELS[panel][2]
        yield Claim.from_share(f"{text} twice the true rank", large, above=0.9, level=shared_level(2))


def show(evidence: Evidence) -> list[Display]:
    """Return displays of the error, of its ratio to the oracle's error, and of the rank, against the noise."""
    pictures: list[Display] = []
    axes: dict[str, Any] = {"x": "noise", "by": "method", "x_log": True, "labels": LABELS}
    axes["x_label"] = "noise, of the root mean square of the data"
    error = axes | {"y": "error", "y_log": True, "y_label": "relative error"}
    ratio = axes | {"y": "over_oracle", "y_log": True, "y_label": "error over that of the oracle"}
    ratio["reference"] = {"limit for the refit": 1.05}
    error["caption"] = "The claims are about noise up to 0.3."
    ratio["caption"] = "The oracle is least squares at the true rank, started from the truth."
    rank = axes | {"y": "rank_found", "y_label": "rank"}
    rank["caption"] = "The refit tests its rank; cross-validation does not look for one."
    for (panel,), part in evidence.split("panel").items():
        rank["reference"] = {"true rank": float(PANELS[panel][2])}
        for name, title, settings in (
            ("error", "Error against noise", error),
            ("ratio", "Error over that of the oracle", ratio),
            ("rank", "Rank against noise", rank),
        ):
            picture = CurvesDisplay.from_evidence(part, f"{panel}-{name}", f"{title}, {panel}", **settings)
            pictures.append(picture)
    return pictures


RECIPE = Recipe(
    "noise",
    __doc__,
    fit,
    grid=[{"panel": tuple(PANELS), "method": METHODS, "noise": LEVELS}],
    repetitions=10,
    quick={"grid": [{"panel": ("sensing",), "method": METHODS, "noise": (0.1, 0.3)}], "repetitions": 1},
    paired=("method",),
    judge=judge,
    show=show,
)
