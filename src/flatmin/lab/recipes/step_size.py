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
from itertools import islice, pairwise
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import sparse_regression
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._edge_of_stability import BilinearLoss
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
#: Step sizes whose courses are shown, with their number of steps, and the distance in weights of slices of the loss.
SHOWN, SHOWN_STEPS, REACH = (0.3, 0.7, 0.95), 5000, 0.6
#: Words for the four ends of the claim about errors, with the metric that has their error.
ENDS = {
    "gradient flow": "flow_error",
    "the largest step size": "last_error",
    "the least norm": "norm_error",
    "the least sharpness": "flat_error",
}


def _sample(truth: str, seed: int) -> tuple[Array, Array, Array]:
    """Return the matrix, the data and the truth of a draw."""
    instance = sparse_regression.sample(LENGTH, TRUTHS[truth], EQUATIONS, seed=seed)
    assert instance.truth is not None
    return instance.problem.measurement.matrices()[:, :, 0], instance.problem.data, instance.truth[:, 0]


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return norm, sharpness and error of the fit of every step size, relative to the certified ends."""
    A, b, truth = _sample(str(parameters["truth"]), seed)
    flattest = least_sharpness(A, b)
    sparsest, norm, _ = least_weighted_norm(A, b, np.ones(LENGTH))
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
    size = float(np.linalg.norm(b))
    with np.errstate(over="ignore", invalid="ignore"):
        for state in islice(_descent(A, b, start, steps), 0, STEPS + 1, 100):
            misfit = np.linalg.norm(state[2], axis=1) / size
            if np.all((misfit <= 1e-3 * FITS) | ~np.isfinite(misfit)):
                break
    return [(u, v) if fits else None for u, v, fits in zip(*state[:2], misfit <= FITS, strict=True)]


def _descent(A: Array, b: Array, start: float, steps: Array) -> Iterator[tuple[Array, Array, Array]]:
    """Yield u, v and ``A (u ∘ v) − b`` before each step, a row for each step size."""
    u = np.full((len(steps), A.shape[1]), start)
    v, eta = np.zeros_like(u), 2 / len(A) * steps[:, None]
    while True:
        residual = (u * v) @ A.T - b
        yield u, v, residual
        gradient = eta * (residual @ A)
        u, v = u - gradient * v, v - gradient * u


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
        figures += _of_one_draw(evidence.select(truth="sparse"))
    return figures


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of three step sizes on the first draw, and the loss around their ends."""
    A, b, truth = _sample("sparse", min(evidence.draws()))
    flattest = least_sharpness(A, b)
    loss = BilinearLoss(np.stack([np.diag(row) for row in A]), b)

    steps = islice(_descent(A, b, START, np.array(SHOWN) * 2 / flattest.bound), SHOWN_STEPS)
    at = {round(step) for step in np.geomspace(1, SHOWN_STEPS - 1, 40)}
    # The average of two successive iterates is free of most of the oscillation at the edge of stability.
    pairs = enumerate(pairwise(np.stack([u, v]) for u, v, _ in steps))
    seen = [(before + after) / 2 for step, (before, after) in pairs if step + 1 in at]
    courses = []
    for i, share in enumerate(SHOWN):
        points = [(flattest.gap(A, u[i], v[i]), relative_distance(u[i] * v[i], truth)) for u, v in seen]
        end = Slice.from_loss(f"step {share:g}", loss, seen[-1][:, i].ravel(), REACH)
        courses.append(Course(end.label, i, np.array(points), end))
    return training_displays(
        courses,
        "One sparse truth: three step sizes",
        recipe=evidence.name,
        optima=[relative_distance(flattest.x, truth)],
        places=[Slice.from_loss("certified flattest", loss, np.concatenate(flattest.factors), REACH)],
        gap="gap to the certified least sharpness",
        caption=f"Steps are in units of 2 / λ*; the courses end after {SHOWN_STEPS} steps.",
    )


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
