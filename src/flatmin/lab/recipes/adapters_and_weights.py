"""Flatness in a low-rank adapter, and flatness of the merged weights.

A quadratic network with 8 inputs and 8 hidden neurons, ``y = Σ_j v_j (u_jᵀ x)²`` with ``v_j = ±1``, is fine-tuned on
20 inputs: ``U = U0 + B Aᵀ`` with frozen U0, and B and A of two columns. The targets are those of U0 plus a change of
rank two, of the size of U0 or a third of it. U0 is Gaussian, or flattest for the function of Gaussian weights. Among
adapters that fit, the trace in (B, A) is minimised, and the trace in U. The least trace in U of any quadratic network
that fits is certified by `flat_minimum`. The question is that of Li et al. (Flat-LoRA, ICML 2025, arXiv 2409.14396);
the numbers of the claim are ours.

Claim: flat in the adapter is not flat in the weights. In at least one of ten draws an adapter within 5 % of the least
trace in (B, A) that is found has a trace in U above twice the least of the adapters that are found. In as many draws
the flattest adapter has a trace in U above twice the certified least one. Its trace in U is on average at least 1.2
times that of the flattest merged weights, which are at least twice as sharp in (B, A). If an adapter may be 5 % less
flat than the flattest one, merged weights within 10 % of the flattest ones are found. The flattest merged weights err
less than the flattest adapter.

Refuted by: fewer such draws, a flattest adapter whose merged weights are nearly as flat as those of any adapter, no
such compromise, or flattest merged weights that do not err less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._adapted_network import AdaptedNetwork, Trace
from flatmin.lab.runs.experiment import Metrics, Parameters, as_lists
from flatmin.measurements import RankOne
from flatmin.parametrizations import SignedGram
from flatmin.problem import Problem
from flatmin.solvers.flattest import Flattest

__all__ = ["RECIPE", "adapt", "judge", "show"]

INPUTS, NEURONS, SAMPLES, COLUMNS = 8, 8, 20, 2
#: Number of starts of each search.
STARTS = 4
#: An adapter is nearly flattest if its trace is at most this, over the least one that is found.
NEARLY = 1.05
#: The trace in U counts as sharp above this many times the least one.
SHARP = 2.0
#: Number of steps of courses, and distance in weights of slices of the loss.
SHOWN_STEPS, REACH = 300, 0.3
#: The adapters that are compared.
TRAINED, ADAPTER, WEIGHTS, BOTH = "trained", "flattest adapter", "flattest weights", "compromise"
METHODS = (TRAINED, ADAPTER, WEIGHTS, BOTH)


@dataclass(frozen=True)
class _Draw:
    """A network with an adapter, the teacher's hidden weights, and the certified flattest network of any weights."""

    network: AdaptedNetwork
    teacher: Array
    flattest: Flattest

    @classmethod
    def sample(cls, parameters: Parameters, rng: np.random.Generator) -> Self:
        x, outputs = rng.standard_normal((SAMPLES, INPUTS)), np.repeat([1.0, -1.0], NEURONS // 2)
        frozen = rng.standard_normal((INPUTS, NEURONS))
        if parameters["frozen"] == "flattest":
            frozen = _flattest(frozen, outputs, x)
        change = rng.standard_normal((INPUTS, COLUMNS)) @ rng.standard_normal((COLUMNS, NEURONS))
        teacher = frozen + change * float(parameters["change"]) * np.linalg.norm(frozen) / np.linalg.norm(change)
        targets = (x @ teacher) ** 2 @ outputs
        flattest = Flattest.from_problem(Problem(RankOne(x), targets, SignedGram()))
        return cls(AdaptedNetwork(x, frozen, outputs, targets, COLUMNS), teacher, flattest)

    def gap(self, adapter: Array) -> float:
        """Return the certified flatness gap of the merged weights."""
        return self.flattest.gap(tuple(np.hsplit(self.network.merged(adapter), 2)))

    def error(self, function: Array) -> float:
        """Return the relative error of the symmetric matrix of a quadratic function."""
        return relative_distance(function, self.function(self.teacher))

    def function(self, weights: Array) -> Array:
        """Return the symmetric matrix of the function of hidden weights."""
        return np.asarray((weights * self.network.outputs) @ weights.T)


def adapt(parameters: Parameters, seed: int) -> Metrics:
    """Return the traces and the errors of four adapters that fit one instance."""
    rng = np.random.default_rng(seed)
    draw = _Draw.sample(parameters, rng)
    network, certificate = draw.network, draw.flattest.solution.checked_certificate
    found = _searched(network, rng)
    least = certificate.lower_bound
    rows: list[dict[str, Any]] = []
    for method in METHODS:
        row: dict[str, Any] = {"method": method}
        if method in found:
            adapter = found[method]
            row["adapter"] = network.adapter_trace(adapter)[0] / network.adapter_trace(found[ADAPTER])[0]
            row["weights"] = network.weight_trace(adapter)[0] / least
            row["error"] = draw.error(draw.function(network.merged(adapter)))
        rows.append(row)
    # With every row of one method missing, the lists would lack these names.
    empty = dict.fromkeys(("adapter", "weights", "error"), [None] * len(rows))
    return empty | as_lists(rows) | {"gap": float(certificate.relative_gap)}


def _flattest(weights: Array, outputs: Array, x: Array) -> Array:
    """Return the hidden weights of least trace that compute the same function, with the same numbers of signs."""
    values, vectors = np.linalg.eigh((x.T * np.sum(x**2, axis=1)) @ x)
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    sizes, directions = np.linalg.eigh(root @ (weights * outputs) @ weights.T @ root)
    # By Sylvester's law as many eigenvalues are positive as outputs are.
    return np.asarray((inverse @ directions * np.sqrt(np.abs(sizes)))[:, ::-1])


def _searched(network: AdaptedNetwork, rng: np.random.Generator) -> dict[str, Array]:
    """Return the best adapter of each kind over several starts; without any fit there is none."""
    starts = [fitted for _ in range(STARTS) if (fitted := _trained(network, rng)) is not None]
    if not starts:
        return {}
    in_adapter, in_weights = network.adapter_trace, network.weight_trace
    calm = _least(in_weights, [*starts, *(network.flattened(start, in_weights) for start in starts)])
    flattest = _least(in_adapter, [*starts, *(network.flattened(start, in_adapter) for start in (*starts, calm))])
    cap = (in_adapter, NEARLY * in_adapter(flattest)[0])
    nearly = _least(in_weights, [flattest, network.flattened(flattest, in_weights, below=cap)])
    free = (network.flattened(start, in_weights) for start in (flattest, nearly))
    return {
        TRAINED: starts[0],
        ADAPTER: flattest,
        WEIGHTS: _least(in_weights, [calm, nearly, *free]),
        BOTH: nearly,
    }


def _trained(network: AdaptedNetwork, rng: np.random.Generator) -> Array | None:
    A = rng.standard_normal(NEURONS * COLUMNS) / np.sqrt(NEURONS)
    return network.fit(np.concatenate([0.1 * rng.standard_normal(INPUTS * COLUMNS), A]))


def _least(trace: Trace, adapters: Sequence[Array | None]) -> Array:
    return min((z for z in adapters if z is not None), key=lambda z: trace(z)[0])


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about the bound, and for each kind of frozen weights about traces and errors."""
    rows = evidence.unrolled("method")
    fits = [None not in result.metrics["weights"] for result in evidence.results]
    claims = [
        Claim.from_largest("The largest relative gap of a certified trace", evidence.values("gap"), below=1e-6),
        Claim.from_smallest("The smallest trace in U over the certified one", rows.values("weights"), above=1 - 1e-6),
        Claim.from_share("The share of draws with adapters that fit", fits, above=0.9),
    ]
    for kind in ("gaussian", "flattest"):
        part, words = rows.select(frozen=kind), f"{kind} frozen weights"
        text = f"{words}: the share of draws with a nearly flattest adapter of twice the least trace in U of adapters"
        draws = [draw for draw in part.draws().values() if len(draw.values("weights"))]
        claims.append(Claim.from_share(text, map(_is_sharp, draws), above=0.1))
        sharp = [bool(value > SHARP) for value in part.select(method=ADAPTER).values("weights")]
        text = f"{words}: the share of draws whose flattest adapter has twice the certified least trace in U"
        claims.append(Claim.from_share(text, sharp, above=0.1))
        cost = part.select(method=WEIGHTS).values("weights")
        text = f"{words}: trace in U of the flattest weights of an adapter over the certified least one"
        claims.append(claim_of_ratio(text, cost, above=1))
        pairs = {metric: part.pairs(metric, "method", WEIGHTS, ADAPTER) for metric in ("weights", "adapter", "error")}
        text = f"{words}: trace in U of the flattest adapter over that of the flattest weights"
        claims.append(claim_of_ratio(text, pairs["weights"][:, 1] / pairs["weights"][:, 0], above=1.2))
        text = f"{words}: trace in (B, A) of the flattest weights over that of the flattest adapter"
        claims.append(claim_of_ratio(text, pairs["adapter"][:, 0] / pairs["adapter"][:, 1], above=2))
        both = part.pairs("weights", "method", WEIGHTS, BOTH)
        text = f"{words}: trace in U of the compromise over that of the flattest weights"
        claims.append(claim_of_ratio(text, both[:, 1] / both[:, 0], below=1.1))
        text = f"{words}: error of the flattest weights less that of the flattest adapter, mean over draws"
        claims.append(Claim.from_mean(text, pairs["error"][:, 0] - pairs["error"][:, 1], below=0))
    return claims


def _is_sharp(draw: Evidence) -> bool:
    """Return whether an adapter that is nearly flattest in (B, A) has twice the least trace in U of all adapters."""
    adapter, weights = draw.values("adapter"), draw.values("weights")
    return bool(np.any(weights[adapter <= NEARLY * (1 + 1e-4)] > SHARP * weights.min()))


def show(evidence: Evidence) -> list[Display]:
    """Return both traces of all adapters, and the traces in U and the errors by the size of the change."""
    if not len(evidence):
        return []
    rows = evidence.unrolled("method")
    common: dict[str, Any] = {"by": "method", "labels": {method: method for method in METHODS}}
    figures: list[Display] = [
        ScatterDisplay.from_evidence(
            rows,
            "traces",
            "Flatness in the adapter and in the weights",
            x="adapter",
            y="weights",
            x_log=True,
            y_log=True,
            x_label="trace in (B, A) over the least one found",
            y_label="trace in U over the certified least one",
            caption="The compromise has the flattest weights among adapters within 5 % of the flattest one.",
            **common,
        )
    ]
    for metric, title, y_label in (
        ("weights", "Trace in the merged weights", "trace in U over the certified least one"),
        ("error", "Errors", "relative error of the function"),
    ):
        axes: dict[str, Any] = {"x": "frozen", "x_label": "frozen weights", "y": metric, "y_label": y_label}
        figures.append(CurvesDisplay.from_evidence(rows, metric, title, centre="median", **axes, **common))
    return figures + _of_one_draw(evidence)


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses from one trained adapter to flatter ones, and the loss around their ends."""
    seed = min(evidence.draws())
    rng = np.random.default_rng(seed)
    draw = _Draw.sample(evidence.draws()[seed].results[-1].trial.parameters, rng)
    network, start = draw.network, _trained(draw.network, rng)
    if start is None:
        return []
    courses = []
    kinds = (("trace in (B, A)", network.adapter_trace), ("trace in U", network.weight_trace))
    for place, (words, trace) in enumerate(kinds):
        seen = list(network.descent(start, trace, SHOWN_STEPS))
        points = [(draw.gap(z), draw.error(draw.function(network.merged(z)))) for z in seen]
        courses.append(Course(words, place, np.array(points), Slice.from_loss(words, network, seen[-1], REACH)))
    return training_displays(
        courses,
        "One draw: descents of a trace from a trained adapter",
        recipe=evidence.name,
        optima=[draw.error(draw.flattest.solution.matrix)],
        places=[Slice.from_loss(TRAINED, network, start, REACH)],
        gap="flatness gap in U",
        error="relative error of the function",
        caption="All points fit the data. The certified network need not have an adapter of low rank.",
        around="Weights are those of the adapter; titles are the traces that were lowered.",
    )


RECIPE = Recipe(
    "adapters-and-weights",
    __doc__,
    adapt,
    grid=[{"frozen": ["gaussian", "flattest"], "change": [0.3, 1.0]}],
    repetitions=45,
    quick={"repetitions": 3},
    judge=judge,
    show=show,
)
