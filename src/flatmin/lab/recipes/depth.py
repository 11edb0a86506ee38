"""Recovery of sparse vectors and of low-rank matrices by flat products of two or more factors.

The unknowns are ``x = u_1 ∘ … ∘ u_N`` of length 80 and ``X = W_N ⋯ W_1`` of shape 8×8. All depths N see the same
Gaussian measurements. Flat products of vectors are certified. Flat products of over two matrices are found by a search
from two starts, of which one is the truth; docs/recipes.md says how the search can err.

Claim: flat products of two vectors recover sparse vectors from the statistical dimension of the ℓ1 norm on, within √n,
and products of three and five never from fewer measurements than unknowns. Flat products of three and five matrices
recover low-rank matrices as those of two do: their boundaries are within one d of the statistical dimension of the
nuclear norm, c exceeds that of two matrices by at most 0.1, and from 1.25 times the band's upper end on they recover at
least 90 % of the draws. The layers found for two matrices are flattest by their certificate.

Refuted by: a boundary further away, more than one recovery in a hundred by three or five vectors from fewer
measurements than unknowns, more than one failure in twenty from at least as many measurements as unknowns, a larger c
of deep products of matrices, more than one failure in ten well above the boundary, or layers of two matrices that are
not flattest.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flatmin.families import matrix_sensing, sparse_regression
from flatmin.families.base import relative_distance
from flatmin.lab.boundary.estimates import beyond, difference, distance
from flatmin.lab.boundary.phase_map import columns_of
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.descent_cones import statistical_dimension, statistical_dimension_of_sparse
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, Display, PhaseMapDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._flattest_layers import FlatLayers, flattest_layers, layers_of
from flatmin.lab.recipes._recovery import RECOVERED
from flatmin.lab.runs.experiment import Metrics, Parameters, Transition
from flatmin.parametrizations.chain import Chain
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "judge", "predicted", "recover", "show"]

#: Standard deviation of the noise on the layers of each start, which keeps directions from staying exactly zero.
BLIND, AWARE = 0.05, 1e-3
#: Recovery is claimed from FACTOR times the band's upper end on; c may be larger by LATER, a trace by the share LEFT.
FACTOR, LATER, LEFT = 1.25, 0.1, 1e-5
#: For each panel the parameter of the columns, and words for the unknown, for the unit and for the prediction.
PANELS = (
    ("vectors", "sparsity", "sparse vectors", "m* / (s log(n / s))", " of the ℓ1 norm, and n above two"),
    ("matrices", "rank", "low-rank matrices", "c = m* / (r (d1 + d2))", ", at every depth"),
)
#: Level of each of the two intervals for three and five factors, which hold together with 95 % confidence.
BOTH = shared_level(2)


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return the recovery of one draw by the flat product of one depth."""
    return (_vector if parameters["panel"] == "vectors" else _matrix)(parameters, seed)


def _vector(parameters: Parameters, seed: int) -> Metrics:
    n, sparsity, m, depth = (int(parameters[name]) for name in ("n", "sparsity", "m", "depth"))
    instance = sparse_regression.sample(n, sparsity, m, seed=seed, depth=depth)
    solution = flat_minimum(instance.problem, seed=seed)
    assert instance.truth is not None
    error, gap = relative_distance(solution.matrix, instance.truth), float(solution.checked_certificate.relative_gap)
    return {"error": error, "success": error < RECOVERED, "solved": solution.status.name, "gap": gap, "blind": None}


def _matrix(parameters: Parameters, seed: int) -> Metrics:
    d, rank, m, depth = (int(parameters[name]) for name in ("d", "rank", "m", "depth"))
    drawn = matrix_sensing.sample((d, d), rank, m, seed=seed)
    problem = Problem(drawn.problem.measurement, drawn.problem.data, Chain((d,) * (depth - 1)))
    assert drawn.truth is not None
    rng = np.random.default_rng([seed, depth])
    seen = problem.measurement.adjoint(problem.data) / m
    found = [_descended(problem, seen, BLIND, rng)]
    blind = found[0].fits and relative_distance(found[0].matrix, drawn.truth) < RECOVERED
    if not blind:
        found.append(_descended(problem, drawn.truth, AWARE, rng))
    fits = [layers for layers in found if layers.fits]
    if not fits:
        raise ArithmeticError("no start led to layers that fit the data")
    best = min(fits, key=lambda layers: layers.trace)
    error = relative_distance(best.matrix, drawn.truth)
    # The search can be compared with a certificate only at depth 2.
    gap = None if depth > 2 else best.trace / flat_minimum(problem, seed=seed).checked_certificate.lower_bound - 1
    return {"error": error, "success": error < RECOVERED, "solved": "sought", "gap": gap, "blind": blind}


def _descended(problem: Problem, matrix: Any, noise: float, rng: np.random.Generator) -> FlatLayers:
    """Return the layers that a descent reaches from the layers of a matrix plus relative noise."""
    layers = layers_of(problem, matrix)
    size = math.sqrt(sum(float(np.sum(W**2)) for W in layers) / sum(W.size for W in layers))
    moved = tuple(W + noise * size * rng.standard_normal(W.shape) for W in layers)
    return flattest_layers(problem, moved, seed=int(rng.integers(2**31)))


def _scale(parameters: Mapping[str, Any]) -> float:
    if parameters["panel"] == "vectors":
        return float(parameters["sparsity"] * math.log(parameters["n"] / parameters["sparsity"]))
    return float(2 * parameters["rank"] * parameters["d"])


def predicted(parameters: Mapping[str, Any]) -> float:
    """Return the predicted boundary: n for three or more vectors, otherwise a statistical dimension."""
    if parameters["panel"] == "vectors" and parameters["depth"] > 2:
        return float(parameters["n"])
    if parameters["panel"] == "vectors":
        return statistical_dimension_of_sparse(int(parameters["n"]), int(parameters["sparsity"]))
    d = int(parameters["d"])
    return statistical_dimension((d, d), int(parameters["rank"]))[0]


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims about vectors and those about matrices."""
    return [*_of_vectors(evidence.select(panel="vectors")), *_of_layers(evidence.select(panel="matrices"))]


def _of_vectors(vectors: Evidence) -> Iterator[Claim]:
    text = "Two vectors: the largest distance of the boundary from the statistical dimension of the ℓ1 norm, in √n"
    columns = columns_of(vectors, depth=2)
    number = distance(columns, predicted, lambda at: math.sqrt(at["n"]))
    yield Claim(f"{text}, bands at 95 % together", *number, below=1.0)
    fewer: dict[int, list[bool]] = {3: [], 5: []}
    # All depths see the same draws, so a draw counts once, as recovered if it is recovered at every depth.
    enough: dict[tuple[Any, ...], bool] = {}
    for (n, m, sparsity, depth), part in vectors.split("n", "m", "sparsity", "depth").items():
        if m >= n:
            for result in part.results:
                draw = (n, m, sparsity, result.trial.seed)
                enough[draw] = enough.get(draw, True) and bool(result.metrics["success"])
        elif depth in fewer:
            fewer[depth] += list(part.values("success"))
    for depth, deep in fewer.items():
        text = f"{'Three' if depth == 3 else 'Five'} vectors: the share of draws recovered from fewer measurements"
        yield Claim.from_share(f"{text} than unknowns, 95 % together with the other", deep, level=BOTH, below=0.01)
    text = "Vectors: the share of draws that every depth recovers from as many measurements as unknowns or more"
    yield Claim.from_share(text, enough.values(), above=0.95)


def _of_layers(matrices: Evidence) -> Iterator[Claim]:
    map_ = columns_of(matrices)
    for depth, word in ((2, "Two"), (3, "Three"), (5, "Five")):
        columns = [column for column in map_ if column.parameters["depth"] == depth]
        text = f"{word} matrices: the largest distance of the boundary from the statistical dimension"
        number = distance(columns, predicted, lambda at: at["d"], among=len(map_))
        yield Claim(f"{text} of the nuclear norm, in d, bands at 95 % together over all depths", *number, below=1.0)
    for depth, word in ((3, "Three"), (5, "Five")):
        text = f"{word} matrices: by how much c exceeds that of two matrices on the same draws"
        number = difference(matrices.select(depth=(2, depth)), "depth", depth, 2, BOTH)
        yield Claim(f"{text}, on average over ranks, 95 % together with the other", *number, below=LATER)
        counts = beyond([column for column in map_ if column.parameters["depth"] == depth], FACTOR)
        text = f"{word} matrices: the share of draws recovered at {FACTOR} times the band's upper end and above"
        yield Claim.from_count(f"{text}, 95 % together with the other", *counts, level=BOTH, above=0.9)
    gaps = matrices.select(depth=2).values("gap")
    text = "Two matrices: the largest relative excess of the trace that the search finds over its certified lower bound"
    yield Claim.from_largest(text, gaps, below=LEFT)


def show(evidence: Evidence) -> list[Display]:
    """Return success rates for vectors and matrices, phase maps, and boundaries."""
    displays: list[Display] = []
    for panel, over, what, unit, source in PANELS:
        part = evidence.select(panel=panel)
        if not len(part):
            continue
        by: dict[str, Any] = {"by": "depth", "labels": {depth: f"depth {depth}" for depth in part.levels("depth")}}
        axes: dict[str, Any] = {"over": over, "predicted": predicted, "x_label": over}
        middle = part.levels(over)[(len(part.levels(over)) - 1) // 2]
        displays.append(
            CurvesDisplay.from_evidence(
                part.select(**{over: middle}),
                f"success-{panel}",
                f"Products of {panel}: recovery of {what}, {over} {middle}",
                x="m",
                y="success",
                x_label="measurements m",
                y_label="share recovered",
                caption="All depths see the same draws.",
                **by,
            )
        )
        name, about = f"boundary-{panel}", f"Products of {panel}: where recovery sets in"
        caption = f"Predicted is the statistical dimension{source}."
        displays.append(BoundaryDisplay.from_evidence(part, name, about, y_label=unit, caption=caption, **axes, **by))
        for depth in part.levels("depth"):
            name, about = f"map-{panel}-{depth}", f"Products of {depth} {panel}: exact recovery"
            map_ = part.select(depth=depth)
            displays.append(PhaseMapDisplay.from_evidence(map_, name, about, y_label="measurements m", **axes))
    return displays


RECIPE = Recipe(
    "depth",
    __doc__,
    recover,
    grid=[
        {
            "panel": ("vectors",),
            "n": (80,),
            "sparsity": (2, 4, 8),
            "depth": (2, 3, 5),
            "m": (*range(4, 48, 4), *range(48, 80, 8), 80, 100, 120),
        },
        {
            "panel": ("matrices",),
            "d": (8,),
            "rank": (1,),
            "depth": (2, 3, 5),
            "m": (16, 20, 24, 28, 32, 36, 44, 52, 60),
        },
        {"panel": ("matrices",), "d": (8,), "rank": (2,), "depth": (2, 3), "m": tuple(range(28, 64, 4))},
    ],
    repetitions=10,
    quick={
        "grid": [
            {"panel": ("vectors",), "n": (40,), "sparsity": (3,), "depth": (2, 3), "m": (8, 14, 20, 26, 40)},
            {"panel": ("matrices",), "d": (4,), "rank": (1,), "depth": (2, 3), "m": (9, 12, 15)},
        ],
        "repetitions": 2,
    },
    paired=("depth",),
    transition=Transition("m", "success", _scale),
    judge=judge,
    show=show,
)
