"""Sharpness of deep linear networks by depth: the lower bound, and what gradient flow reaches.

A regression with 5 inputs, ``w = (W_N ⋯ W_1)ᵀ`` and the loss ``f = wᵀ C w − 2 ⟨c, w⟩``, has the least-squares solution
w* with norm 1. At a minimum, let ``p_l = W_N ⋯ W_{l+1}``, with ``p_N = 1`` and ``p_0 = w*ᵀ``. The step of length one
``p_lᵀ p_{l−1} / (‖p_l‖ ‖p_{l−1}‖)`` in layer l changes w by ``w* ‖p_l‖ / ‖p_{l−1}‖``. The product of these N factors is
``1 / ‖w*‖``, so by the inequality of means the largest eigenvalue of the Hessian is at least

    2 N ‖w*‖^(−2/N) w*ᵀ C w*.

If all layers have rank one and the same norm, the eigenvalue is
``2 ‖w*‖^(2−2/N) λ_max(C^½ (I + (N − 1) ŵ ŵᵀ) C^½)`` with ``ŵ = w* / ‖w*‖``.

For a whole matrix X of m entries, the same step gives the bound ``(2/m) N σ₁(X)^(2−2/N)``; the layers of least trace
are certified by `flat_minimum`. The setting is that of Marion and Chizat (NeurIPS 2024, arXiv 2405.13456); the numbers
of the claim are ours.

Claim: no minimum is flatter than the bound, which grows linearly with depth. The limit of gradient flow from small
Gaussian weights is within the condition number of C of the bound, at every depth from 2 to 8 and every width, and its
ratio to the bound does not depend on depth or width. Its sharpness is that of
aligned layers of rank one, within 5 %. The certified flattest layers of a matrix have a ratio that does
not depend on depth either. Other minima are much sharper.

Refuted by: a minimum below the bound, a limit of gradient flow further above it or not aligned, or a ratio whose
exponent in depth is outside ±0.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from scipy.integrate import DOP853
from scipy.linalg import expm

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio, power_law
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.measurements import Identity
from flatmin.parametrizations.chain import Chain
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "ChainLoss", "aligned", "chain_sharpness", "judge", "measure", "show"]

INPUTS, ROWS = 5, 4
DEPTHS, WIDTHS, CONDITIONS = (2, 3, 4, 5, 6, 7, 8), (1, 2, 4), (1.0, 10.0)
#: Spectral norm of the Gaussian layers at the start, approximately; the layers of a minimum have norms near 1.
START = 0.2
#: Gradient flow ends if the gradient by w is at most this, and counts as not converged after this number of steps.
CONVERGED, MOST_STEPS = 1e-6, 20_000
#: Size of the random changes of basis between layers that lead to other minima.
CHANGE = 1.5
#: Depths whose courses are shown, and the distance in weights of slices of the loss.
SHOWN, REACH = (2, 4, 8), 0.4
#: Largest exponent in depth, of either sign, of a ratio that does not depend on depth.
EVEN = 0.1


def measure(parameters: Parameters, seed: int) -> Metrics:
    """Return the ratios of sharpness to its lower bound at several minima of one instance."""
    return (_regression if parameters["panel"] == "regression" else _matrix)(parameters, seed)


def _drawn(width: int, depth: int, condition: float, rng: np.random.Generator) -> ChainLoss:
    """Return the loss of a draw, with layers to start from."""
    basis = np.linalg.qr(rng.standard_normal((INPUTS, INPUTS)))[0]
    C = (basis * np.geomspace(1 / condition, 1, INPUTS)) @ basis.T
    w = rng.standard_normal((1, INPUTS))
    w /= np.linalg.norm(w)
    sizes = (INPUTS, *[INPUTS * width] * (depth - 1), 1)
    start = [START * rng.standard_normal((k, j)) / (np.sqrt(k) + np.sqrt(j)) for j, k in pairwise(sizes)]
    return ChainLoss(start, C, w)


def _regression(parameters: Parameters, seed: int) -> Metrics:
    depth, rng = int(parameters["depth"]), np.random.default_rng(seed)
    loss = _drawn(int(parameters["width"]), depth, float(parameters["condition"]), rng)
    C, w = loss.C, loss.w
    bound = 2 * depth * float((w @ C @ w.T).item())
    found = {"aligned": aligned(C, w, depth) / bound, "flow": None, "changed": None, "gap": None}
    layers = loss.limit()
    if layers is not None:
        found["flow"] = chain_sharpness(layers, C) / bound
        found["changed"] = chain_sharpness(_other_minimum(layers, rng), C) / bound
    return found


def _matrix(parameters: Parameters, seed: int) -> Metrics:
    depth, rng = int(parameters["depth"]), np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, 2)) @ rng.standard_normal((2, ROWS))
    X /= np.linalg.norm(X, 2)
    width = ROWS * int(parameters["width"])
    solution = flat_minimum(Problem(Identity(X.shape), X.ravel(), Chain((width,) * (depth - 1))))
    layers, C, bound = list(solution.factors), np.eye(ROWS) / X.size, 2 * depth / X.size
    found: Metrics = {"aligned": None, "flow": chain_sharpness(layers, C) / bound}
    found["changed"] = chain_sharpness(_other_minimum(layers, rng), C) / bound
    return found | {"gap": float(solution.checked_certificate.relative_gap)}


def chain_sharpness(layers: list[Array], C: Array) -> float:
    """Return the largest eigenvalue of the Hessian of ``tr(X C Xᵀ) − …`` at a minimum ``X = W_N ⋯ W_1``.

    With ``L_l`` and ``R_l``, the products of the layers after and before layer l, it is twice the largest eigenvalue of
    ``Σ_l (L_l L_lᵀ) ⊗ (C^½ R_lᵀ R_l C^½)``.
    """
    values, vectors = np.linalg.eigh(C)
    root = (vectors * np.sqrt(values)) @ vectors.T
    ahead = list(accumulate(layers[:-1], lambda R, W: W @ R, initial=root))
    behind = list(accumulate(layers[:0:-1], lambda L, W: L @ W, initial=np.eye(len(layers[-1]))))[::-1]
    total = sum(np.kron(L @ L.T, R.T @ R) for L, R in zip(behind, ahead, strict=True))
    return 2 * float(np.linalg.eigvalsh(total)[-1])


def aligned(C: Array, w: Array, depth: int) -> float:
    """Return the sharpness at the minimum whose layers have rank one and the same norm; see the module's docstring."""
    size = float(np.linalg.norm(w))
    inner = np.eye(len(C)) + (depth - 1) * (w.T @ w) / size**2
    return float(2 * size ** (2 - 2 / depth) * np.max(np.linalg.eigvals(C @ inner).real))


@dataclass(frozen=True)
class ChainLoss:
    """The loss ``(X − w) C (X − w)ᵀ`` with ``X = W_N ⋯ W_1``, as a function of all entries of layers like ``start``."""

    start: list[Array]
    C: Array
    w: Array

    def layers(self, flat: Array) -> list[Array]:
        """Return the layers with these entries."""
        ends = np.cumsum([W.size for W in self.start])[:-1]
        return [part.reshape(W.shape) for part, W in zip(np.split(flat, ends), self.start, strict=True)]

    def distance(self, layers: list[Array]) -> Array:
        """Return ``X − w``."""
        return np.asarray(reduce(lambda X, W: W @ X, layers) - self.w)

    def value(self, flat: Array) -> float:
        """Return the loss."""
        away = self.distance(self.layers(flat))
        return float((away @ self.C @ away.T).item())

    def gradient(self, flat: Array) -> Array:
        """Return the gradient, in one vector."""
        layers = self.layers(flat)
        ahead = list(accumulate(layers[:-1], lambda R, W: W @ R, initial=np.eye(len(self.C))))
        back, parts = 2 * (layers[-1] @ ahead[-1] - self.w) @ self.C, []
        for W, R in zip(reversed(layers), reversed(ahead), strict=True):
            parts.append((back @ R.T).ravel())
            back = W.T @ back
        return np.concatenate(parts[::-1])

    def flow(self) -> Iterator[list[Array]]:
        """Yield the layers after each step of gradient flow from the start, until it converges or takes too long."""
        flat = np.concatenate([W.ravel() for W in self.start])
        solver = DOP853(lambda _, w: -self.gradient(w), 0.0, flat, np.inf, rtol=1e-8, atol=1e-11)
        for _ in range(MOST_STEPS):
            solver.step()
            yield self.layers(solver.y)
            if np.linalg.norm(self.distance(self.layers(solver.y)) @ self.C) <= CONVERGED:
                return

    def limit(self) -> list[Array] | None:
        """Return the layers to which gradient flow converges, None if it takes too long."""
        steps = list(self.flow())
        return steps[-1] if len(steps) < MOST_STEPS else None


def _other_minimum(layers: list[Array], rng: np.random.Generator) -> list[Array]:
    """Return layers with the same product, by a random change of basis between each pair of layers."""
    found = list(layers)
    for index in range(len(found) - 1):
        width = len(found[index])
        generator = CHANGE * rng.standard_normal((width, width)) / np.sqrt(width)
        found[index], found[index + 1] = expm(generator) @ found[index], found[index + 1] @ expm(-generator)
    return found


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about the bound, about exponents in depth, about width, and about other minima."""
    ratios = [value for metric in ("aligned", "flow", "changed") for value in evidence.values(metric)]
    claims = [Claim.from_smallest("The smallest sharpness of a minimum over the bound", ratios, above=1 - 1e-5)]
    regression, matrix = evidence.select(panel="regression"), evidence.select(panel="matrix")
    share = [result.metrics["flow"] is not None for result in regression.results]
    claims.append(Claim.from_share("The share of gradient flows that converge", share, above=0.95))
    away = [abs(r.metrics["flow"] / r.metrics["aligned"] - 1) for r in regression.results if r.metrics["flow"]]
    text = "The largest relative distance of gradient flow's sharpness from that of aligned layers of rank one"
    claims.append(Claim.from_largest(text, away, below=0.05))
    for condition in CONDITIONS:
        part, words = regression.select(condition=condition), f"gradient flow, condition number {condition:g}"
        excess = part.values("flow") / condition
        claims.append(Claim.from_largest(f"{words}: the largest ratio over the condition number", excess, below=1.05))
        claims += _even(f"{words}: the exponent in depth of the ratio", part)
        wide = [_mean_of_logs(draw, WIDTHS[-1]) - _mean_of_logs(draw, WIDTHS[0]) for draw in part.draws().values()]
        text = f"{words}: the ratio at width {WIDTHS[-1]}× over that at width {WIDTHS[0]}×"
        level, both = shared_level(2), np.exp([value for value in wide if np.isfinite(value)])
        claims.append(claim_of_ratio(f"{text}, 95 % together with the next", both, level=level, above=0.95))
        claims.append(claim_of_ratio(f"{text}, 95 % together with the last", both, level=level, below=1.05))
    claims.append(Claim.from_largest("Matrices: the largest relative gap", matrix.values("gap"), below=1e-6))
    claims += _even("certified flattest layers of a matrix: the exponent in depth of the ratio", matrix)
    text = f"{DEPTHS[-1]} layers: the ratio of other minima, in the geometric mean"
    deepest = [draw.values("changed") for draw in regression.select(depth=DEPTHS[-1]).draws().values()]
    typical = [float(np.exp(np.mean(np.log(ratios)))) for ratios in deepest if len(ratios)]
    return [*claims, claim_of_ratio(text, typical, above=10)]


def _mean_of_logs(draw: Evidence, width: int) -> float:
    ratios = draw.select(width=width).values("flow")
    return float(np.mean(np.log(ratios))) if len(ratios) else np.nan


def _even(text: str, part: Evidence) -> Iterator[Claim]:
    """Give the two claims that the ratio does not depend on depth, from the exponent of each draw."""
    exponents = []
    for draw in part.draws().values():
        rows = [r for r in draw.results if r.metrics["flow"] is not None]
        if len({r.trial.parameters["depth"] for r in rows}) > 1:
            depths, ratios = zip(*((r.trial.parameters["depth"], r.metrics["flow"]) for r in rows), strict=True)
            exponents.append(power_law(depths, ratios)[0])
    for limit, other in (({"above": -EVEN}, "next"), ({"below": EVEN}, "last")):
        words = f"{text}, mean over draws, 95 % together with the {other}"
        yield Claim.from_mean(words, exponents, level=shared_level(2), **limit)


def show(evidence: Evidence) -> list[Display]:
    """Return the ratios against depth, for the limits of gradient flow and for certified layers."""
    figures: list[Display] = []
    axes: dict[str, Any] = {"x": "depth", "x_label": "number of layers", "y_label": "sharpness over its lower bound"}
    axes |= {"reference": {"lower bound": 1.0}}
    regression, matrix = evidence.select(panel="regression", width=WIDTHS[0]), evidence.select(panel="matrix")
    if len(regression):
        labels = {c: f"condition number {c:g}" for c in regression.levels("condition")}
        by: dict[str, Any] = axes | {"by": "condition", "labels": labels}
        caption = "Width 1×. No minimum is below the bound, which is linear in depth."
        by |= {"y": "flow", "caption": caption}
        figures.append(CurvesDisplay.from_evidence(regression, "flow", "Where gradient flow ends", **by))
        caption = "Changes of basis between the layers of gradient flow's limit make it sharper, not the function."
        by |= {"y": "changed", "y_log": True, "caption": caption}
        figures.append(CurvesDisplay.from_evidence(regression, "changed", "Other minima with the same weights w", **by))
    if len(matrix):
        title, caption = "Certified flattest layers of a matrix", "These layers have the least trace of the Hessian."
        figures.append(CurvesDisplay.from_evidence(matrix, "layers", title, y="flow", caption=caption, **axes))
    return figures + (_of_one_draw(regression) if len(regression) else [])


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of gradient flow at three depths on the first draw, and the loss around their ends."""
    courses = []
    for place, depth in enumerate(SHOWN):
        loss, points = _drawn(1, depth, 1.0, np.random.default_rng(min(evidence.draws()))), []
        for layers in loss.flow():
            x = loss.w + loss.distance(layers)
            bound = 2 * depth * np.linalg.norm(x) ** (-2 / depth) * (x @ loss.C @ x.T).item()
            points.append((chain_sharpness(layers, loss.C) / bound - 1, np.linalg.norm(x - loss.w)))
        end = Slice.from_loss(f"{depth} layers", loss, np.concatenate([W.ravel() for W in layers]), REACH)
        courses.append(Course(end.label, place, np.array(points), end))
    return training_displays(
        courses,
        "One draw: gradient flow by depth",
        recipe=evidence.name,
        optima=[0.0],
        star="aligned layers",
        gap="sharpness over its lower bound, less 1",
        error="distance of w from w*",
        caption="Condition number 1, where layers that are aligned attain the bound.",
    )


RECIPE = Recipe(
    "sharpness-depth",
    __doc__,
    measure,
    grid=[
        {"panel": ["regression"], "condition": list(CONDITIONS), "width": list(WIDTHS), "depth": list(DEPTHS)},
        {"panel": ["matrix"], "width": [1], "depth": list(DEPTHS)},
    ],
    repetitions=20,
    quick={
        "grid": [
            {"panel": ["regression"], "condition": list(CONDITIONS), "width": [1, 4], "depth": [2, 4, 8]},
            {"panel": ["matrix"], "width": [1], "depth": [2, 4, 8]},
        ],
        "repetitions": 3,
    },
    consecutive=True,
    judge=judge,
    show=show,
)
