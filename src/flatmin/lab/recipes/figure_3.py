"""Exact recovery over dimension and number of measurements, by flat minima and by the nuclear norm.

Six panels: sensing, bilinear sensing, completion, quadratic networks, covariance, phase retrieval. A draw succeeds if
the relative error is below 1e-6; both methods see the same draws. docs/recipes.md has the settings and the reasons for
the limits.

Claim: flat minima recover the truth exactly from ``c r (d1 + d2)`` measurements on (``c r d`` for symmetric matrices).
In Gaussian sensing the boundary is the statistical dimension of the nuclear norm. In sensing, bilinear sensing,
completion and quadratic networks c exceeds that of the nuclear norm by at most 0.1. c is bounded: at the two largest
dimensions it is below a limit per panel, and the boundary grows no faster than that of Gaussian measurements, up to an
exponent of 0.1. From 1.25 times the upper end of the boundary's band on, at least 99 % of the draws are recovered. At
least 99 % of the flat minima are certified.

Refuted by: a boundary of Gaussian sensing that differs from the statistical dimension by more than d, or 5 % over all
dimensions; a larger c, a faster growth, or more than one failure in a hundred above the boundary or among the
certificates.

Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and Inference
13(2), 2024, Figure 3.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin.lab.boundary.estimates import beyond, difference, distance, growth, largest, ratio
from flatmin.lab.boundary.phase_map import columns_of
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.descent_cones import statistical_dimension
from flatmin.lab.displays import BoundaryDisplay, Display, PhaseMapDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import CERTIFIED, HERMITIAN, degrees, metrics_of_recovery
from flatmin.lab.runs.experiment import Block, Metrics, Parameters, Transition

__all__ = ["RECIPE", "freedom", "judge", "predicted", "recover", "show"]

#: For each panel the family, the rank, and the range of numbers of measurements, in units of `degrees`.
PANELS = {
    "sensing": ("matrix-sensing", 2, (1.0, 3.2)),
    "bilinear": ("bilinear-sensing", 2, (1.0, 3.2)),
    "completion": ("matrix-completion", 2, (1.0, 4.4)),
    "quadratic-network": ("quadratic-network", 3, (1.0, 3.2)),
    "covariance": ("covariance", 3, (0.8, 3.0)),
    "phase-retrieval": ("phase-retrieval", 1, (1.5, 5.5)),
}
#: Exponent of the metric in the norm that each method minimises.
POWERS = {"flat": 1.0, "nuclear": 0.0}
WORDS = {"flat": "flat minima", "nuclear": "the nuclear norm"}
DIMENSIONS = (10, 15, 20, 25, 30, 35, 40)
POINTS = 12

#: For each panel its name in figures, and the space of matrices that contains the truth.
TITLES = {
    "sensing": ("Gaussian sensing", "all"),
    "bilinear": ("Bilinear sensing", "all"),
    "completion": ("Completion", "all"),
    "quadratic-network": ("Quadratic networks", "symmetric"),
    "covariance": ("Covariance estimation", "semidefinite"),
    "phase-retrieval": ("Phase retrieval", "hermitian semidefinite"),
}
#: Panels in which flat minima differ from solutions of smallest nuclear norm.
SELECTING = ("sensing", "bilinear", "completion", "quadratic-network")
#: The claimed upper limit of c at the largest dimensions for each panel, in units of `degrees`.
LIMITS = dict.fromkeys(TITLES, 3.0) | {"completion": 4.0, "covariance": 2.5, "phase-retrieval": 5.0}
#: Number of largest dimensions; factor on the band; limits on excess of c, growth exponent, distance from prediction.
LARGEST, FACTOR, LATER, FASTER, APART = 2, 1.25, 0.1, 0.1, 0.05


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return the recovery of one draw by one method."""
    d, rank, m = (int(parameters[key]) for key in ("d", "rank", "m"))
    name, power = PANELS[str(parameters["panel"])][0], POWERS[str(parameters["method"])]
    return metrics_of_recovery(name, (d, d), rank, m, seed, metric_power=power)


def _blocks(dimensions: tuple[int, ...], points: int) -> Iterator[Block]:
    for panel, (_, rank, (low, high)) in PANELS.items():
        multiples = tuple(round(float(x), 4) for x in np.linspace(low, high, points))
        yield {"panel": (panel,), "method": tuple(POWERS), "d": dimensions, "rank": (rank,), "multiple": multiples}


def _with_measurements(parameters: Parameters) -> Parameters | None:
    """Return the parameters for a multiple of `degrees`, or None if there are not as many possible measurements."""
    cell: dict[str, Any] = dict(parameters)
    name, d = PANELS[cell["panel"]][0], cell["d"]
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * _scale(cell))
    most = d * (d + 1) // 2 if name in HERMITIAN else d * d
    return cell if 1 <= cell["m"] <= most and cell["rank"] <= d else None


def _scale(parameters: Mapping[str, Any]) -> float:
    return degrees(PANELS[parameters["panel"]][0], parameters["d"], parameters["rank"])


def predicted(parameters: Mapping[str, Any]) -> float:
    """Return the predicted number of Gaussian measurements from which the nuclear norm recovers a truth."""
    d = int(parameters["d"])
    return statistical_dimension((d, d), int(parameters["rank"]), among=TITLES[parameters["panel"]][1])[0]


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims about boundaries, their growth, and cells far from a boundary."""
    flat = evidence.select(method="flat")
    return [*_agreement(evidence), *_later(evidence), *_bounded(flat), *_growing(flat), *_certainty(flat)]


def _later(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about flat minima and the nuclear norm on the same draws."""
    level = shared_level(len(SELECTING))
    for panel in SELECTING:
        text = f"{TITLES[panel][0]}: by how much c of flat minima exceeds that of the nuclear norm on the same draws"
        number = difference(evidence.select(panel=panel), "method", "flat", "nuclear", level)
        yield Claim(f"{text}, on average over d, 95 % together over panels", *number, below=LATER)


def _bounded(flat: Evidence) -> Iterator[Claim]:
    """Give the claims about the largest dimensions."""
    for panel in (panel for panel in TITLES if panel in flat.levels("panel")):
        columns = columns_of(flat, panel=panel)
        sizes = sorted({column.parameters["d"] for column in columns})[-LARGEST:]
        last = [column for column in columns if column.parameters["d"] in sizes]
        text = f"{TITLES[panel][0]}: the largest c of flat minima at the largest dimensions"
        text += f" ({' and '.join(map(str, sizes))}), bands at 95 % together over panels"
        yield Claim(text, *largest(last, shared_level(len(TITLES))), below=LIMITS[panel])


def _growing(flat: Evidence) -> Iterator[Claim]:
    """Give the claims about growth relative to Gaussian measurements, in completion also with a factor log d."""
    level = shared_level(len(TITLES) + 1)
    for panel in (panel for panel in TITLES if panel in flat.levels("panel")):
        columns = columns_of(flat, panel=panel)
        text = f"{TITLES[panel][0]}: exponent in d of the boundary of flat minima over that of Gaussian measurements"
        units = {"": predicted} | ({" times log d": _logged} if panel == "completion" else {})
        for more, unit in units.items():
            number = growth(columns, "d", unit, level)
            yield Claim(f"{text}{more}, 95 % together over panels", *number, below=FASTER)


def _logged(parameters: Mapping[str, Any]) -> float:
    return predicted(parameters) * math.log(parameters["d"])


def _agreement(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about Gaussian sensing and the statistical dimension."""
    sensing = evidence.select(panel="sensing")
    both = columns_of(sensing, panel="sensing")
    by = {
        words: [column for column in both if column.parameters["method"] == method] for method, words in WORDS.items()
    }
    for words, columns in by.items():
        text = f"Gaussian sensing: the largest distance of the boundary of {words} from the statistical dimension, in d"
        text += f", bands at 95 % together over {len(both) or 'all'} boundaries"
        yield Claim(text, *distance(columns, predicted, lambda at: at["d"], among=len(both)), below=1.0)
    for words, columns in by.items():
        text = f"Gaussian sensing: by how much the boundary of {words} over the statistical dimension differs from one"
        text += ", 95 % together for both"
        yield Claim(text, *ratio(columns, predicted, shared_level(2)).folded(1.0), below=APART)


def _certainty(flat: Evidence) -> Iterator[Claim]:
    """Give the claims about draws well above the boundary, and about certificates."""
    text = (
        f"The share of draws recovered by flat minima at {FACTOR} times the upper end of the boundary's band and above"
    )
    yield Claim.from_count(text, *beyond(columns_of(flat), FACTOR), above=0.99)
    certified = [status in CERTIFIED for status in flat.values("solved")]
    yield Claim.from_share("The share of flat minima that are certified, recovered or not", certified, above=0.99)


def show(evidence: Evidence) -> list[Display]:
    """Return a phase map of every panel and method, and the boundaries against the dimension."""
    displays: list[Display] = []
    words = {"flat": "flat", "nuclear": "nuclear norm"}
    panels = [panel for panel in TITLES if panel in evidence.levels("panel")]
    caption = "The prediction is for Gaussian measurements and the nuclear norm: the statistical dimension."
    common: dict[str, Any] = {"predicted": predicted, "caption": caption, "x_label": "dimension d"}
    for panel in panels:
        part, title = evidence.select(panel=panel, method=list(words)), TITLES[panel][0]
        for method in part.levels("method"):
            name, about = f"map-{panel}-{method}", f"{title}, {words[method]}: exact recovery"
            map_ = part.select(method=method)
            displays.append(PhaseMapDisplay.from_evidence(map_, name, about, y_label="measurements m", **common))
        name, about = f"boundary-{panel}", f"{title}: where recovery sets in"
        axes = common | {"y_label": "c = m* / (r d)" if PANELS[panel][0] in HERMITIAN else "c = m* / (r (d1 + d2))"}
        displays.append(BoundaryDisplay.from_evidence(part, name, about, by="method", labels=words, **axes))
    if panels:
        displays.append(_over_freedom(evidence.select(method="flat")))
    return displays


def _over_freedom(flat: Evidence) -> Display:
    """Return the display of all boundaries of flat minima in units of the degrees of freedom."""
    counted = replace(flat.experiment, transition=Transition("m", "success", freedom))
    return BoundaryDisplay.from_evidence(
        Evidence(counted, flat.results),
        "boundaries-freedom",
        "Flat minima: measurements for each degree of freedom",
        by="panel",
        labels={panel: title for panel, (title, _) in TITLES.items()},
        caption="Measurements at which half of the draws succeed, over the dimension of the matrices of that rank.",
        x_label="dimension d",
        y_label="m* / degrees of freedom",
    )


def freedom(parameters: Mapping[str, Any]) -> float:
    """Return the dimension of the manifold of truths of a panel: ``r (d1 + d2 − r)`` without symmetry."""
    d, rank, among = parameters["d"], parameters["rank"], TITLES[parameters["panel"]][1]
    if among == "hermitian semidefinite":
        # The phase of the signal is not seen.
        return float(rank * (2 * d - rank))
    return float(rank * (2 * d - rank) if among == "all" else rank * d - rank * (rank - 1) / 2)


RECIPE = Recipe(
    "figure-3",
    __doc__,
    recover,
    grid=tuple(_blocks(DIMENSIONS, POINTS)),
    repetitions=10,
    quick={"grid": tuple(_blocks((10, 16), 5)), "repetitions": 2},
    resolve=_with_measurements,
    paired=("method",),
    transition=Transition("m", "success", _scale),
    judge=judge,
    show=show,
)
