"""How near flat solutions come to being norm-minimal and balanced, over dimension and number of measurements.

Sensing, bilinear sensing and completion of square matrices of rank 2. For the factors L, R of a certified flat
solution: ``norm_excess = (‖L‖² + ‖R‖²) / (2 ‖X_nuc‖_*) − 1``, where X_nuc is the fit of smallest nuclear norm,
``balance_gap = ‖LᵀL − RᵀR‖_* / (2 ‖X‖_*)``, and κ, the largest over the smallest eigenvalue of D1 and D2 together.
docs/recipes.md explains the rates.

Claim: flat solutions are nearly norm-minimal and nearly balanced. The norm excess is at most κ² − 1 and the balance gap
at most (κ² − 1)/2, in every draw. From ``3 r (d1 + d2)`` measurements on, both gaps decrease in sensing and bilinear
sensing at the rates ``m^(−1)`` and ``m^(−1/2)``, with exponents within 0.2 and 0.1. In completion, from
``4 r (d1 + d2)`` cells on, balance gap / ``√(1 − m/d²)`` and norm excess / ``(1 − m/d²)`` decrease with m.

Refuted by: a gap above its bound by more than rounding, an exponent further away from −1 or −1/2, a gap in completion
that grows with m even after the division, or more than one solution in a hundred without a certificate.

Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and Inference
13(2), 2024, Figure 4.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.arrays import Array
from flatmin.lab.boundary.estimates import Number
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import power_law
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import CERTIFIED, degrees
from flatmin.lab.runs.experiment import Block, Metrics, Parameters
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "gaps", "judge", "show"]

PANELS = {"sensing": "matrix-sensing", "bilinear": "bilinear-sensing", "completion": "matrix-completion"}
RANK = 2
TITLES = {"sensing": "Gaussian sensing", "bilinear": "Bilinear sensing", "completion": "Completion"}
#: The multiple of the degrees of freedom from which each panel recovers the truth.
ABOVE = {"sensing": 3.0, "bilinear": 3.0, "completion": 4.0}
ROUNDING = 1e-6
#: For each gap its name, and the claimed exponent with its tolerance.
GAPS = {"balance_gap": ("balance gap", -0.5, 0.1), "norm_excess": ("norm excess", -1.0, 0.2)}
#: The divisor of each gap in completion, as a power of ``1 − m/d²`` and in words.
RUN_OUT = {"balance_gap": (0.5, "√(1 − m/d²)"), "norm_excess": (1.0, "1 − m/d²")}
#: The level of each of six intervals that hold together with 95 % confidence.
SHARED = shared_level(6)
#: The multiples of the degrees of freedom that are tried at each dimension. Costs limit them: many measurements are
#: expensive at large dimensions, and few cells are expensive in completion.
MEASURED = {
    (10, 15, 20): (2.0, 3.0, 4.0, 8.0, 16.0, 32.0),
    (30,): (2.0, 3.0, 4.0, 8.0, 16.0),
    (40,): (2.0, 3.0, 4.0, 8.0),
}
COMPLETED = {(10, 15): (2.0, 3.0), (20, 30, 40): (4.0, 6.0, 8.0)}


def gaps(parameters: Parameters, seed: int) -> Metrics:
    """Return norm excess and balance gap of the flat solution of one draw."""
    d, m = int(parameters["d"]), int(parameters["m"])
    family = families.find(PANELS[str(parameters["panel"])])
    instance = family.sample((d, d), RANK, m, seed=seed)
    flat, nuclear = (flat_minimum(instance.problem, metric_power=power, seed=seed) for power in (1.0, 0.0))
    own, least = (float(np.linalg.norm(solution.matrix, "nuc")) for solution in (flat, nuclear))
    norm = sum(float(np.sum(factor**2)) for factor in flat.factors)
    excess, bound = norm / (2 * least) - 1, flat.flatness.condition**2 - 1
    assert instance.truth is not None
    return {
        "norm_excess": excess,
        "excess_bound": bound,
        "within_bound": excess <= bound + 1e-6,
        "balance_gap": flat.flatness.balance / (2 * own),
        "condition": flat.flatness.condition,
        "error": family.relative_error(instance.problem, flat, instance.truth),
        "rank_found": flat.rank,
        "solved": flat.status.name,
        "solved_nuclear": nuclear.status.name,
    }


def _with_measurements(parameters: Parameters) -> Parameters | None:
    """Return the parameters for a multiple of the degrees of freedom, or None if the matrix has fewer cells."""
    cell: dict[str, Any] = dict(parameters)
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * degrees(PANELS[cell["panel"]], cell["d"], RANK))
    return cell if cell["panel"] != "completion" or cell["m"] <= cell["d"] ** 2 else None


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims about the bounds in every draw, and about the decrease of both gaps."""
    done = [r for r in evidence.results if {r.metrics["solved"], r.metrics["solved_nuclear"]} <= set(CERTIFIED)]
    certified = Evidence(evidence.experiment, done)
    bound = certified.values("excess_bound")
    beyond = {
        "The largest norm excess less κ² − 1, over all draws": certified.values("norm_excess") - bound,
        "The largest balance gap less half of κ² − 1, over all draws": certified.values("balance_gap") - bound / 2,
    }
    claims = [Claim.from_largest(text, found, below=ROUNDING) for text, found in beyond.items()]
    for panel, title in TITLES.items():
        part = certified.select(panel=panel)
        for metric, (name, exponent, margin) in GAPS.items():
            found = Number(*power_law(*_centred(part, panel, metric), SHARED))
            text = f"the exponent of the number of measurements in the {name}"
            if panel == "completion":
                text, limit = f"{title}: {text} over {RUN_OUT[metric][1]}", 0.0
            else:
                text = f"{title}: by how much {text} differs from −{abs(exponent):g}"
                found, limit = found.folded(exponent), margin
            claims.append(Claim(f"{text}, well above the threshold, 95 % together over panels", *found, below=limit))
    text = "The share of draws in which the flat solution and that of the nuclear norm are certified"
    both = [True] * len(certified) + [False] * (len(evidence) - len(certified))
    return [*claims, Claim.from_share(text, both, above=0.99)]


def _centred(part: Evidence, panel: str, metric: str) -> tuple[Array, Array]:
    """Return measurements and a gap well above the threshold, each divided by its geometric mean at that dimension.

    The mean is divided out so that only the decrease with the number of measurements counts, not the level of a
    dimension. In completion the gap is divided by its factor in `RUN_OUT`.
    """
    x, y = [np.empty(0)], [np.empty(0)]
    for (d,), group in part.split("d").items():
        least = ABOVE[panel] * degrees(PANELS[panel], d, RANK)
        rows = [(float(r.trial.parameters["m"]), r.metrics[metric]) for r in group.results]
        cells = d * d if panel == "completion" else math.inf
        # A gap that is zero up to rounding, as if every cell is observed, has no logarithm.
        rows = [(m, gap) for m, gap in rows if least - 0.5 <= m < cells and gap > ROUNDING**2]
        kept = [(m, gap / (1 - m / cells) ** RUN_OUT[metric][0]) for m, gap in rows]
        if kept:
            logs = np.log(np.array(kept))
            m, gap = np.exp(logs - logs.mean(axis=0)).T
            x.append(m)
            y.append(gap)
    return np.concatenate(x), np.concatenate(y)


def show(evidence: Evidence) -> list[Display]:
    """Return displays of both gaps against the number of measurements, and against their bounds."""
    displays: list[Display] = []
    panels = [panel for panel in TITLES if panel in evidence.levels("panel")]
    axes: dict[str, Any] = {"x_log": True, "y_log": True}
    for panel in panels:
        part = evidence.select(panel=panel)
        over = axes | {"x": "m", "x_label": "measurements m", "caption": "One line for each dimension."}
        over |= {"by": "d", "labels": {d: f"d = {d}" for d in part.levels("d")}}
        for metric, (word, _, _) in GAPS.items():
            name, title = (
                f"{metric.replace('_', '-')}-{panel}",
                f"{TITLES[panel]}: {word} over the number of measurements",
            )
            displays.append(CurvesDisplay.from_evidence(part, name, title, y=metric, y_label=word, **over))
    over = axes | {"x": "excess_bound", "x_label": "κ² − 1", "by": "panel", "labels": TITLES}
    for metric, (word, _, _) in GAPS.items() if panels else ():
        bound, factor = ("(κ² − 1) / 2", 0.5) if metric == "balance_gap" else ("κ² − 1", 1.0)
        name, title = f"{metric.replace('_', '-')}-bound", f"The {word} and its bound, {bound}"
        line: dict[str, Any] = {"diagonal": f"bound {bound}", "factor": factor}
        line["caption"] = f"Each point is a draw. Points below the line are below the bound, {bound}."
        displays.append(ScatterDisplay.from_evidence(evidence, name, title, y=metric, y_label=word, **line, **over))
    return displays


def _blocks() -> Iterator[Block]:
    for dimensions, multiples in MEASURED.items():
        yield {"panel": ("sensing", "bilinear"), "d": dimensions, "multiple": multiples}
    for dimensions, multiples in COMPLETED.items():
        yield {"panel": ("completion",), "d": dimensions, "multiple": multiples}


RECIPE = Recipe(
    "figure-4",
    __doc__,
    gaps,
    grid=tuple(_blocks()),
    repetitions=20,
    quick={"grid": [{"panel": tuple(PANELS), "d": (8, 12), "multiple": (2.0, 4.0, 8.0)}], "repetitions": 2},
    resolve=_with_measurements,
    judge=judge,
    show=show,
)
