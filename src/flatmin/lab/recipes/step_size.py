"""Step size between least norm and least sharpness, for products of two vectors.

Gradient descent from small weights fits ``x = u ∘ v`` to 20 equations ``A x = b`` for 40 unknowns. The truth is sparse
(4 entries are not zero) or dense. Both ends are certified: the fit of least ℓ1 norm, and the fit of least sharpness λ*,
the smallest largest eigenvalue of the Hessian over all factors of all fits. Step sizes are shares of 2 / λ*; at share 0
stands the limit of gradient flow, which is computed without integration. Above share 1 no fit is stable. The setting is
that of Fojtik et al. (2025, arXiv 2505.21423); the numbers of the claim are ours.

Claim: as the step size grows, the ℓ1 norm of the fit rises and its sharpness falls, to at most 6 % above the certified
least one. No step size above 2 / λ* leads to a fit. For sparse and for dense truths, the error is smallest strictly
inside: a step size between the ends has a smaller error than gradient flow, than the largest step size, and than both
certified ends.

Refuted by: a fit beyond 2 / λ*, a norm that does not rise or a sharpness that does not fall, or an end whose error is
not larger than that of the best step size inside.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import sparse_regression
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._least_sharpness import least_sharpness, least_weighted_norm, sharpness
from flatmin.lab.runs.experiment import Metrics, Parameters, as_lists

__all__ = ["RECIPE", "descend", "flow_limit", "judge", "show", "train"]

LENGTH, EQUATIONS = 40, 20
#: Number of nonzero entries for each kind of truth.
TRUTHS = {"sparse": 4, "dense": LENGTH}
#: Step sizes as shares of 2 / λ*. The largest one is beyond every fit, the one before it is the end of the others.
SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.05)
INSIDE, LAST, BEYOND = SHARES[:-2], SHARES[-2], SHARES[-1]
#: Entries of u at the start, where v is zero.
START = 0.15
#: Number of steps, and the relative misfit up to which weights count as a fit.
STEPS, FITS = 20_000, 1e-5
#: Words for the four ends of the claim about errors, with the metric that has their error.
ENDS = {
    "gradient flow": "flow_error",
    "the largest step size": "last_error",
    "the least norm": "norm_error",
    "the least sharpness": "flat_error",
}


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return norm, sharpness and error of the fit of every step size, relative to the certified ends."""
    instance = sparse_regression.sample(LENGTH, TRUTHS[str(parameters["truth"])], EQUATIONS, seed=seed)
    A, b = instance.problem.measurement.matrices()[:, :, 0], instance.problem.data
    assert instance.truth is not None
    truth = instance.truth[:, 0]
    flattest = least_sharpness(A, b)
    sparsest, norm = least_weighted_norm(A, b, np.ones(LENGTH))
    steps = np.array(SHARES) * 2 / flattest.bound
    weights = [flow_limit(A, b, START), *descend(A, b, START, steps)]
    rows: list[dict[str, Any]] = []
    for share, pair in zip((0.0, *SHARES), weights, strict=True):
        row: dict[str, Any] = {"share": share, "fits": pair is not None}
        if pair is not None:
            x = pair[0] * pair[1]
            row |= {"norm": float(np.abs(x).sum()) / norm, "sharpness": sharpness(A, *pair) / flattest.bound}
            row |= {"error": relative_distance(x, truth)}
        rows.append(row)
    ends: Metrics = {"norm_error": relative_distance(sparsest, truth)}
    ends |= {"flat_error": relative_distance(flattest.x, truth)}
    ends |= {"flow_error": rows[0]["error"], "last_error": rows[SHARES.index(LAST) + 1].get("error")}
    return as_lists(rows) | ends | {"gap": flattest.value / flattest.bound - 1}


def descend(A: Array, b: Array, start: float, steps: Array) -> list[tuple[Array, Array] | None]:
    """Return the weights (u, v) to which gradient descent with each step size converges, None where it does not."""
    u = np.full((len(steps), A.shape[1]), start)
    v, eta = np.zeros_like(u), 2 / len(A) * steps[:, None]
    size, misfit = float(np.linalg.norm(b)), np.full(len(steps), np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(STEPS):
            residual = (u * v) @ A.T - b
            if step % 100 == 0:
                misfit = np.linalg.norm(residual, axis=1) / size
                if np.all((misfit <= 1e-3 * FITS) | ~np.isfinite(misfit)):
                    break
            gradient = eta * (residual @ A)
            u, v = u - gradient * v, v - gradient * u
        misfit = np.linalg.norm((u * v) @ A.T - b, axis=1) / size
    return [(u[i], v[i]) if misfit[i] <= FITS else None for i in range(len(steps))]


def flow_limit(A: Array, b: Array, start: float) -> tuple[Array, Array]:
    """Return the weights to which gradient flow from ``u = start, v = 0`` converges.

    Along the flow ``u = start · cosh(Aᵀ λ)`` and ``v = start · sinh(Aᵀ λ)`` for some λ(t), so that the limit is the
    minimum of the convex function ``Σ ¼ start² cosh(2 Aᵀ λ) − ⟨b, λ⟩``, found by Newton's method.
    """
    dual = np.zeros(len(A))

    def value(dual: Array) -> float:
        return float(np.sum(np.cosh(2 * A.T @ dual)) * start**2 / 4 - b @ dual)

    for _ in range(200):
        angle = 2 * A.T @ dual
        gradient = A @ np.sinh(angle) * start**2 / 2 - b
        step = np.linalg.solve((A * np.cosh(angle)) @ A.T * start**2, gradient)
        length, here = 1.0, value(dual)
        with np.errstate(over="ignore"):
            while value(dual - length * step) > here - 1e-4 * length * float(gradient @ step) and length > 1e-12:
                length /= 2
        dual = dual - length * step
        if np.linalg.norm(gradient) <= 1e-13 * np.linalg.norm(b):
            break
    return start * np.cosh(A.T @ dual), start * np.sinh(A.T @ dual)


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about the ends, about norm and sharpness, and about the errors for each kind of truth."""
    steps = evidence.unrolled("share")
    fitting = steps.select(share=[share for share in (0.0, *SHARES) if share < 1])
    lowest = [value for metric in ("norm", "sharpness") for value in fitting.values(metric)]
    beyond = steps.select(share=BEYOND).values("fits")
    text = f"The number of fits with a step size of {BEYOND} times 2 / λ*"
    claims = [
        Claim.exact(text, float(np.sum(beyond)), below=0) if len(beyond) else Claim.open(text, below=0),
        Claim.from_smallest("The smallest norm or sharpness of a fit over its certified bound", lowest, above=1 - 1e-4),
        Claim.from_largest("The largest relative gap of the least sharpness", evidence.values("gap"), below=0.01),
    ]
    for truth, part in steps.split("truth").items():
        # The norm of the largest step size over that of gradient flow, of the same draws.
        ratios = {metric: part.pairs(metric, "share", 0.0, LAST) for metric in ("norm", "sharpness")}
        rise, fall = (pairs[:, 1] / pairs[:, 0] for pairs in ratios.values())
        words = f"{truth[0]} truths, largest step size: the"
        last = part.select(share=LAST).values("sharpness")
        claims += [
            claim_of_ratio(f"{words} norm over that of gradient flow", rise, above=1.1),
            claim_of_ratio(f"{words} sharpness over that of gradient flow", fall, below=0.9),
            Claim.from_mean(f"{words} sharpness over the certified least one, in the mean", last, below=1.06),
        ]
    for (truth,), part in evidence.split("truth").items():
        claims += _inside(str(truth), part)
    return claims


def _inside(truth: str, part: Evidence) -> Iterator[Claim]:
    """Give the claims that a step size inside has a smaller error than each end; half of the draws choose it."""
    chosen = _best([result.metrics for result in part.results if result.trial.repetition % 2 == 0])
    judged = [result.metrics for result in part.results if result.trial.repetition % 2]
    for end, metric in ENDS.items():
        text = f"{truth} truths: mean over draws of the error at the best step size inside less that of {end}"
        pairs = [(_error(row, chosen), row[metric]) for row in judged if chosen is not None]
        less = [inside - outside for inside, outside in pairs if inside is not None and outside is not None]
        yield Claim.from_mean(f"{text}, 95 % together", less, level=shared_level(len(ENDS)), below=0)


def _best(rows: list[Metrics]) -> float | None:
    """Return the step size inside with the smallest mean error among those that led to a fit in every draw."""
    means = {}
    for share in INSIDE:
        errors = [error for row in rows if (error := _error(row, share)) is not None]
        if rows and len(errors) == len(rows):
            means[share] = float(np.mean(errors))
    return min(means, key=lambda share: means[share]) if means else None


def _error(row: Metrics, share: float) -> float | None:
    error = row["error"][row["share"].index(share)]
    return None if error is None else float(error)


def show(evidence: Evidence) -> list[Display]:
    """Return norm against sharpness, and sharpness and error against the step size."""
    if not len(evidence):
        return []
    steps = evidence.unrolled("share")
    steps = steps.select(share=[share for share in steps.levels("share") if share < 1])
    x: dict[str, Any] = {"x": "share", "x_label": "step size over 2 / λ*; 0 is gradient flow"}
    sparse = steps.select(truth="sparse")
    figures: list[Display] = [
        CurvesDisplay.from_evidence(
            steps,
            "error",
            "Error of the fit by step size",
            y="error",
            y_label="relative error of x",
            caption="If an end of each line is its lowest point, the best step size is not inside.",
            by="truth",
            **x,
        ),
        CurvesDisplay.from_evidence(
            steps.select(share=[share for share in steps.levels("share") if share > 0]),
            "sharpness",
            "Sharpness of the fit by step size",
            y="sharpness",
            y_label="λ_max over the certified least one",
            y_log=True,
            by="truth",
            reference={"2 / step size": lambda share: 1 / share, "certified least": 1.0},
            caption="Stable fits lie on or below the line 2 / step size.",
            **x | {"x_label": "step size over 2 / λ*", "x_log": True},
        ),
    ]
    if len(sparse):
        labels = {share: f"{share:g}" for share in sparse.levels("share") if share in (0.0, 0.5, 0.7, 0.9, 0.95)}
        figures.insert(
            0,
            ScatterDisplay.from_evidence(
                sparse.select(share=list(labels)),
                "ends",
                "Sparse truths: norm against sharpness",
                x="norm",
                y="sharpness",
                x_label="ℓ1 norm over the certified least one",
                y_label="λ_max over the certified least one",
                by="share",
                labels=labels,
                caption="Each point is a fit, its colour the step size over 2 / λ*. Both certified ends are at one.",
            ),
        )
    return figures


RECIPE = Recipe(
    "step-size",
    __doc__,
    train,
    grid=[{"truth": list(TRUTHS)}],
    repetitions=60,
    quick={"repetitions": 6},
    consecutive=True,
    judge=judge,
    show=show,
)
