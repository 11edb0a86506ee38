"""Where all exact fits are equally flat, and where they are not.

For ``X = U U*`` the scaled trace is ``8 tr(D X)`` with ``D = (1/m) Σ A_i²``. If D is a linear combination
``Σ λ_i A_i``, this trace is ``8 ⟨λ, b⟩`` at every exact fit. Such combinations exist for ``A_i = x_i x_i*`` and for
orthogonal projections. Each instance is fitted from eight random starts. The flatness of a fit is the smallest trace
over all factors of its matrix. See docs/recipes.md, and "Measurements by vectors" in docs/theory/flatness.md.

Claim: for measurements by vectors or by projections, all positive semidefinite fits of an instance are equally flat up
to rounding, although they are different matrices with different errors and ranks, as long as the fit is not unique. In
all other models the fits of one instance differ in flatness, even if sensing matrices have rank one, and flatter fits
have smaller errors.

Refuted by: two exact fits of measurements by vectors or projections whose flatness differs by more than rounding; fits
that hardly differ as matrices or in rank, so that nothing was tested; or, in another model, equally flat fits, or
flatter fits whose errors are not smaller.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.arrays import Array
from flatmin.families.base import Instance, relative_distance
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.rank_correlation import MIN_PAIRS, claim_of_instances, rank_correlation
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._exact_fit import exact_fit
from flatmin.lab.runs.experiment import Block, Metrics, Parameters
from flatmin.lab.runs.store import Result
from flatmin.measurements import Dense
from flatmin.parametrizations import Gram
from flatmin.problem import Problem
from flatmin.proofs.flatness import flatness

__all__ = ["RECIPE", "fits", "judge", "show"]

#: Number of fits of each instance, and range of the standard deviations of their starts; the truth has entries near 1.
STARTS, SCALES = 8, (0.3, 3.0)
#: Smallest number of columns of the factors of a fit: the rank of the truth plus one.
NARROWEST = 3
#: A fit is exact if its relative misfit is at most this; the misfit changes the trace by about the same share.
EXACT = 1e-12
#: Relative differences in flatness up to this count as rounding.
ROUNDING = 1e-10
#: Matrices, errors and flatness of two fits count as different if they differ by at least this share.
APART = 0.1
#: Claimed lower limit of the rank correlation between flatness and error.
CORRELATION = 0.5
#: Measurements per degree of freedom at which many matrices fit, and at which only one semidefinite matrix fits.
FEW, MANY = (0.8, 1.2), (3.0,)


@dataclass(frozen=True)
class _Model:
    words: str
    determined: bool
    degrees: Callable[[int], int]
    draw: Callable[[int, int, int], Instance]


def _symmetric(d: int) -> int:
    """Return the degrees of freedom of a symmetric matrix of rank two, or of a complex one of rank one."""
    return 2 * d - 1


def _rectangular(d: int) -> int:
    """Return the degrees of freedom of a square matrix of rank two."""
    return 4 * d - 4


def _of_family(name: str, rank: Any) -> Callable[[int, int, int], Instance]:
    return lambda d, m, seed: families.find(name).sample((d, d), rank, m, seed=seed)


def _of_projections(d: int, m: int, seed: int) -> Instance:
    """Draw a problem with orthogonal projections onto random planes as sensing matrices."""
    rng = np.random.default_rng(seed)
    planes = np.linalg.qr(rng.standard_normal((m, d, 2)))[0]
    return _semidefinite(planes @ planes.transpose(0, 2, 1), rng)


def _of_symmetric(d: int, m: int, seed: int) -> Instance:
    """Draw Gaussian symmetric sensing matrices of a positive semidefinite matrix of rank two."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, d, d))
    return _semidefinite((A + A.transpose(0, 2, 1)) / 2, rng)


def _semidefinite(A: Array, rng: np.random.Generator) -> Instance:
    measurement, U = Dense(A), rng.standard_normal((A.shape[1], 2))
    return Instance(Problem(measurement, measurement.forward(U @ U.T), Gram()), U @ U.T)


MODELS = {
    "covariance": _Model("covariance estimation", True, _symmetric, _of_family("covariance", 2)),
    "phase-retrieval": _Model("phase retrieval", True, _symmetric, _of_family("phase-retrieval", 1)),
    "projections": _Model("powers in random planes", True, _symmetric, _of_projections),
    "symmetric": _Model("symmetric sensing of semidefinite matrices", False, _symmetric, _of_symmetric),
    "network": _Model("quadratic networks", False, _symmetric, _of_family("quadratic-network", (1, 1))),
    "bilinear": _Model("bilinear sensing", False, _rectangular, _of_family("bilinear-sensing", 2)),
    "completion": _Model("completion", False, _rectangular, _of_family("matrix-completion", 2)),
    "sensing": _Model("Gaussian sensing", False, _rectangular, _of_family("matrix-sensing", 2)),
}


def fits(parameters: Parameters, seed: int) -> Metrics:
    """Return the differences between exact fits of one instance: as matrices, in flatness, and in error."""
    model, d = MODELS[str(parameters["model"])], int(parameters["d"])
    instance = model.draw(d, round(float(parameters["multiple"]) * model.degrees(d)), seed)
    problem, truth = instance.problem, instance.truth
    assert truth is not None
    X = truth if truth.ndim == 2 else np.outer(truth, truth.conj())
    rng = np.random.default_rng([seed, 1])  # not the numbers that the truth is made of
    found = [_fit(problem, rng) for _ in range(STARTS)]
    kept = [factors for factors, misfit in found if misfit <= EXACT]
    matrices = [problem.parametrization.matrix(factors) for factors in kept]
    levels = [flatness(problem, factors) for factors in kept]
    values = np.array([level.fibre_minimum for level in levels], float)
    errors = np.array([relative_distance(matrix, X) for matrix in matrices])
    apart = [relative_distance(a, b) for i, a in enumerate(matrices) for b in matrices[:i]]
    ranks = [int(np.linalg.matrix_rank(matrix, tol=0.01 * np.linalg.norm(matrix, 2))) for matrix in matrices]
    value_spread, several = _spread(values), len(kept) > 1
    order = np.argsort(values)
    return {
        "m": problem.measurement.size,
        "fits": len(kept),
        "misfit": max((misfit for _, misfit in found if misfit <= EXACT), default=None),
        "nearest": min(apart, default=None),
        "distance": float(np.median(apart)) if apart else None,
        "trace_spread": _spread([level.scaled_trace for level in levels]),
        "flatness_spread": value_spread,
        "smallest_rank": min(ranks, default=None),
        "largest_rank": max(ranks, default=None),
        "smallest_error": float(errors.min()) if several else None,
        "largest_error": float(errors.max()) if several else None,
        "error_spread": float(errors.max() - errors.min()) if several else None,
        "error_of_flattest": float(errors[order[0]]) if several else None,
        "error_of_sharpest": float(errors[order[-1]]) if several else None,
        "correlation": rank_correlation(values, errors) if (value_spread or 0) > ROUNDING else None,
        "outside": _outside(problem),
    }


def _fit(problem: Problem, rng: np.random.Generator) -> tuple[Any, float]:
    """Return a fit of a random width from a random start, and its misfit."""
    width = int(rng.integers(NARROWEST, problem.shape[0] + 1))
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    signs = problem.parametrization.cone.max_width(problem.shape) // problem.shape[0]
    return exact_fit(problem, signs * width, scale, rng)


def _spread(values: Iterable[float]) -> float | None:
    """Return the excess of the largest value over the smallest, divided by the smallest; None for fewer than two."""
    ordered = sorted(values)
    return float(ordered[-1] / ordered[0] - 1) if len(ordered) > 1 else None


def _outside(problem: Problem) -> float | None:
    """Return the relative distance of D from combinations of sensing matrices, None for rectangular models."""
    if not problem.parametrization.cone.is_hermitian:
        return None
    A = problem.measurement.matrices()
    columns = np.concatenate([A.real.reshape(len(A), -1), A.imag.reshape(len(A), -1)], axis=1).T
    D = np.mean(A @ A, axis=0)
    wanted = np.concatenate([D.real.ravel(), D.imag.ravel()])
    return relative_distance(columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0], wanted)


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about each model, whose intervals hold together with 95 %, and two about sensing matrices."""
    few, many = evidence.select(multiple=FEW), evidence.select(multiple=MANY)
    level = shared_level(sum(3 if model.determined else 2 for model in MODELS.values()))
    claims = []
    for name, model in MODELS.items():
        parts = few.select(model=name), many.select(model=name)
        claims += _determined(model.words, *parts, level) if model.determined else _open(model.words, parts[0], level)
    inside = [name for name, model in MODELS.items() if model.determined] + ["network"]
    text = "The largest relative distance of D from the combinations of sensing matrices, where measurements are by"
    outside = evidence.select(model=inside).values("outside")
    claims.append(Claim.from_largest(f"{text} vectors or projections", outside, below=ROUNDING))
    outside = few.select(model="symmetric").values("outside")
    return [*claims, Claim.from_smallest("The smallest such distance in symmetric sensing", outside, above=APART)]


def _determined(words: str, few: Evidence, many: Evidence, level: float) -> list[Claim]:
    """Return the claims about a model whose data determine the trace."""
    text = f"In {words}, the largest relative difference in flatness between exact fits of one instance"
    claims = [Claim.from_largest(text, few.values("flatness_spread"), below=ROUNDING)]
    ranks = [result.metrics["largest_rank"] - result.metrics["smallest_rank"] for result in _with_fits(few, 2)]
    for text, values, limit in (
        ("the smallest distance between these fits over the size of the truth", few.values("nearest"), APART),
        ("by how much their relative errors differ", few.values("error_spread"), APART),
        ("by how much the ranks of fits of one instance differ", ranks, 1.0),
    ):
        claims.append(Claim.from_mean(f"In {words}, {text}, in the mean over draws", values, level=level, above=limit))
    text = f"In {words}, the largest relative error of a fit of {MANY[0]:g} measurements a degree of freedom"
    return [*claims, Claim.from_largest(text, many.values("largest_error"), below=1e-6)]


def _open(words: str, few: Evidence, level: float) -> list[Claim]:
    """Return the claims about a model whose fits differ in flatness."""
    text = f"In {words}, the relative difference in flatness between exact fits of one instance, in the mean over draws"
    claim = Claim.from_mean(text, few.values("flatness_spread"), level=level, above=APART)
    text = f"In {words}, the rank correlation of flatness and error over these fits, in the mean over draws"
    correlations = [result.metrics["correlation"] for result in _with_fits(few, MIN_PAIRS)]
    return [claim, claim_of_instances(text, correlations, level=level, above=CORRELATION)]


def _with_fits(evidence: Evidence, count: int) -> list[Result]:
    """Return the results of instances with at least this number of fits."""
    return [result for result in evidence.results if result.metrics["fits"] >= count]


def show(evidence: Evidence) -> list[Display]:
    """Return displays of the differences between fits, and of the fits that flatness selects."""
    few, labels = evidence.select(multiple=FEW), {name: model.words for name, model in MODELS.items()}
    free = few.select(model=[name for name, model in MODELS.items() if not model.determined])
    determined = evidence.select(model=[name for name, model in MODELS.items() if model.determined])
    common: dict[str, Any] = {"by": "model", "labels": labels, "y_log": True}
    figures: list[Display] = []
    if len(few):
        title = "Exact fits of one instance: how they differ"
        axes: dict[str, Any] = {"x": "distance", "y": "flatness_spread", "x_log": True}
        axes |= {
            "x_label": "median distance between fits, over the truth",
            "y_label": "relative difference in flatness",
        }
        caption = "Each point is an instance. If the difference is at the level of rounding, its fits are equally flat."
        figures.append(ScatterDisplay.from_evidence(few, "spread", title, caption=caption, **axes, **common))
    if len(determined):
        title = "Equally flat fits: the largest error"
        axes = {"x": "multiple", "y": "largest_error", "x_label": "measurements over degrees of freedom"}
        axes["y_label"] = "relative error of the worst of the fits"
        caption = "All fits of an instance are equally flat; with enough measurements they are the same."
        figures.append(CurvesDisplay.from_evidence(determined, "error", title, caption=caption, **axes, **common))
    if len(free):
        title = "What flatness chooses among exact fits"
        axes = {"x": "error_of_sharpest", "y": "error_of_flattest", "x_log": True, "diagonal": True}
        axes |= {
            f"{axis}_label": f"relative error of the {fit} fit" for axis, fit in (("x", "sharpest"), ("y", "flattest"))
        }
        caption = "Below the line the flattest fit that was found has a smaller error than the sharpest fit."
        figures.append(ScatterDisplay.from_evidence(free, "choice", title, caption=caption, **axes, **common))
    return figures


def _grid(d: int, multiples: tuple[float, ...]) -> tuple[Block, ...]:
    return ({"model": tuple(MODELS), "d": (d,), "multiple": multiples},)


RECIPE = Recipe(
    "equally-flat",
    __doc__,
    fits,
    grid=_grid(12, (*FEW, *MANY)),
    repetitions=20,
    quick={"grid": _grid(6, FEW[1:]), "repetitions": 2},
    judge=judge,
    show=show,
)
