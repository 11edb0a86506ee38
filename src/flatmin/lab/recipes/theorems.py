"""How often "the truth is the unique flat minimum" is a theorem, over dimension and number of measurements.

Truths and measurements are small integers, so the data are exact. A draw counts twice: it is *recovered* if the
relative error of the solution is below 1e-6, and a *theorem* if an exact proof says that the truth, to the last digit,
is the unique flat minimum. The store keeps the proof of every theorem, and ``flatmin proofs STORE`` checks all of them.
docs/recipes.md has the settings and the reasons for the limits.

Claim: proofs replace tolerances. Every theorem is about a recovered draw. Where flatness selects the solution, theorems
set in at most 0.1 r (d1 + d2) measurements after recovery (0.1 r d for symmetric matrices; in robust PCA, 0.05 of the
cells), and from 1.25 times the upper end of recovery's band on at least 99 % of the recovered draws are theorems. In
covariance estimation and phase retrieval all positive semidefinite fits are equally flat, so a solver may find the
truth where others fit as well: theorems set in later, by 0.1 r d or more. From 1.25 times the upper end of their band
on the share is 99 % again. The boundary of theorems is the statistical dimension in sensing by Gaussian integers and by
signs, within one d and 5 % over all dimensions, and within one d for covariances and phases.

Refuted by: a theorem about a draw that is not recovered, more than one recovered draw in a hundred without a theorem
well above the boundary, or a number beyond one of these limits.

Amelunxen, Lotz, McCoy, Tropp, "Living on the edge: phase transitions in convex programs with random data", Information
and Inference 3(3), 2014, for the statistical dimension.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin import families
from flatmin.errors import InputError
from flatmin.lab.boundary.estimates import difference, distance, ratio
from flatmin.lab.boundary.phase_map import columns_of
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.descent_cones import statistical_dimension
from flatmin.lab.displays import BoundaryDisplay, Display, PhaseMapDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._integer_instances import MODELS, is_truth, sample
from flatmin.lab.recipes._recovery import degrees, metrics_of_solution
from flatmin.lab.runs.experiment import Block, Metrics, Parameters, Transition
from flatmin.lab.runs.store import Result
from flatmin.proofs.exact import Proof, prove
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "decide", "judge", "predicted", "show"]

#: For each model the range of numbers of measurements, in units of `_scale`.
RANGES = {
    "gaussian": (0.9, 2.7),
    "signs": (0.9, 2.7),
    "bilinear": (0.9, 2.9),
    "completion": (1.0, 3.6),
    "quadratic-network": (0.9, 3.0),
    "covariance": (0.8, 2.8),
    "phase-retrieval": (1.5, 5.1),
    "robust-pca": (0.52, 0.97),
}
DIMENSIONS, POINTS = (8, 12, 16, 20), 10
#: The two outcomes of a draw that are compared, with their words in figures.
OUTCOMES = {"success": "recovered in floating point", "theorem": "a theorem"}
#: Models whose positive semidefinite fits are all equally flat.
DETERMINED = ("covariance", "phase-retrieval")
#: Models in which flatness selects the solution.
SELECTING = ("gaussian", "signs", "bilinear", "completion", "quadratic-network", "robust-pca")
#: Models whose boundary is compared with the statistical dimension.
GAUSSIAN = ("gaussian", "signs")
#: Factor on the band; limits on the delay of theorems (of robust PCA: in cells), and on the distance from predictions.
FACTOR, LATER, LATER_CELLS, APART = 1.25, 0.1, 0.05, 0.05
#: Claimed smallest delay of theorems where the data determine the trace.
DELAY = 0.1


def decide(parameters: Parameters, seed: int) -> Metrics:
    """Return whether one draw is recovered and whether that is a theorem, with the files of the proof."""
    name, d, m = str(parameters["panel"]), int(parameters["d"]), int(parameters["m"])
    instance = sample(name, d, m, seed)
    solution = flat_minimum(instance.problem, seed=seed)
    start = time.perf_counter()
    metrics = metrics_of_solution(families.find(MODELS[name].family), instance, solution)
    try:
        proof = prove(instance.problem, solution)
    except InputError as refusal:  # the solver stopped far from every matrix that fits
        return metrics | {"theorem": False, "missing": str(refusal)}
    seconds = time.perf_counter() - start
    proved, found = proof.statement("T") is not None, proof.statement("gap")
    assert instance.truth is not None
    theorem = proved and is_truth(proof, instance.truth)
    metrics |= {
        "theorem": theorem,
        "proved_gap": None if found is None else float(found.numbers["gap"]),
        "missing": None if theorem else "the theorem is about another matrix" if proved else _reason(proof),
        "proof_seconds": seconds,
        "proof_bytes": len(proof.text) + len(proof.instance),
    }
    return metrics | ({"proof.json": proof.text.encode(), "instance.npz": proof.instance} if theorem else {})


def _reason(proof: Proof) -> str:
    """Return why there is no theorem T."""
    return proof.absent.get("B", proof.absent["T"])


def _blocks(dimensions: tuple[int, ...], points: int) -> Iterator[Block]:
    for panel, ends in RANGES.items():
        multiples = tuple(round(float(x), 4) for x in np.linspace(*ends, points))
        yield {"panel": (panel,), "d": dimensions, "multiple": multiples}


def _with_measurements(parameters: Parameters) -> Parameters | None:
    """Return the parameters for a multiple of `_scale`, or None if there are not as many possible measurements."""
    cell: dict[str, Any] = dict(parameters)
    model, d = MODELS[cell["panel"]], cell["d"]
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * _scale(cell))
    symmetric = model.among in ("symmetric", "semidefinite")
    return cell if 1 <= cell["m"] <= (d * (d + 1) // 2 if symmetric else d * d) and model.rank <= d else None


def _scale(parameters: Mapping[str, Any]) -> float:
    """Return the unit of boundaries: ``r (d1 + d2)``, ``r d`` for symmetric matrices, all cells in robust PCA."""
    model, d = MODELS[parameters["panel"]], int(parameters["d"])
    return float(d * d) if model.family == "robust-pca" else degrees(model.family, d, model.rank)


def predicted(parameters: Mapping[str, Any]) -> float | None:
    """Return the statistical dimension, the boundary for Gaussian measurements; None for robust PCA, which has none."""
    return None if MODELS[parameters["panel"]].family == "robust-pca" else _statistical_dimension(parameters)


def _statistical_dimension(parameters: Mapping[str, Any]) -> float:
    model, d = MODELS[parameters["panel"]], int(parameters["d"])
    return statistical_dimension((d, d), model.rank, among=model.among)[0]


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims about theorems and recovered draws."""
    without = float(sum(r.metrics["theorem"] and not r.metrics["success"] for r in evidence.results))
    text = "The number of theorems about draws that are not recovered in floating point"
    certain = Claim(text, without, without, without, below=0.0) if len(evidence) else Claim.open(text, below=0.0)
    return [certain, *_above(evidence), *_later(evidence), *_agreement(evidence)]


def _above(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about recovered draws well above the boundary."""
    both = _by_outcome(evidence)
    for panels, outcome, words, band in (
        (SELECTING, "success", "Where flatness selects the solution", "recovery's band"),
        (DETERMINED, "theorem", "In covariance estimation and phase retrieval", "the band of theorems"),
    ):
        outcomes: list[bool] = []
        for column in columns_of(both.select(panel=panels, outcome=outcome)):
            if column.resolvable:
                safe = FACTOR * column.posterior.boundary().high * column.scale
                there = evidence.select(panel=column.parameters["panel"], d=column.parameters["d"]).results
                above = [r.metrics for r in there if int(r.trial.parameters["m"]) >= safe]
                outcomes += [metrics["theorem"] for metrics in above if metrics["success"]]
        text = (
            f"{words}, the share of theorems among draws recovered at {FACTOR} times the upper end of {band} and above"
        )
        yield Claim.from_share(text, outcomes, above=0.99)


def _later(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about the delay of theorems."""
    both = _by_outcome(evidence)
    for panel in DETERMINED:
        text = f"{MODELS[panel].title}: by how much c of theorems exceeds that of recovery"
        number = difference(both.select(panel=panel), "outcome", "theorem", "success", shared_level(len(DETERMINED)))
        yield Claim(f"{text}, on average over d, 95 % together for both", *number, above=DELAY)
    for panel in SELECTING:
        cells = MODELS[panel].family == "robust-pca"
        unit = "by which share of cells without errors" if cells else "by how much c of"
        text = f"{MODELS[panel].title}: {unit} theorems {'set in after' if cells else 'exceeds that of'} recovery"
        number = difference(both.select(panel=panel), "outcome", "theorem", "success", shared_level(len(SELECTING)))
        text += ", on average over d, 95 % together over panels"
        yield Claim(text, *number, below=LATER_CELLS if cells else LATER)


def _agreement(evidence: Evidence) -> Iterator[Claim]:
    """Give the claims about the statistical dimension."""
    theorems = _by_outcome(evidence).select(outcome="theorem")
    columns = {panel: columns_of(theorems, panel=panel) for panel in (*GAUSSIAN, *DETERMINED)}
    among = sum(map(len, columns.values()))
    for panel in columns:
        text = f"{MODELS[panel].title}: the largest distance of the boundary of theorems from the statistical dimension"
        number = distance(columns[panel], _statistical_dimension, lambda at: at["d"], among=among)
        yield Claim(f"{text}, in d, bands at 95 % together over {among or 'all'} boundaries", *number, below=1.0)
    for panel in GAUSSIAN:
        text = f"{MODELS[panel].title}: by how much the boundary of theorems over the statistical dimension differs"
        number = ratio(columns[panel], _statistical_dimension, shared_level(len(GAUSSIAN))).folded(1.0)
        yield Claim(f"{text} from one, 95 % together for both", *number, below=APART)


def _by_outcome(evidence: Evidence) -> Evidence:
    """Return evidence in which every draw counts once for each outcome, as the value of a paired parameter."""
    results = []
    for result in evidence.results:
        for outcome in OUTCOMES:
            trial = replace(result.trial, parameters={**result.trial.parameters, "outcome": outcome})
            results.append(Result(trial, {"success": result.metrics[outcome]}, result.seconds))
    return Evidence(evidence.experiment, results)


def show(evidence: Evidence) -> list[Display]:
    """Return phase maps of recovery and of theorems, and their boundaries, for every model."""
    displays: list[Display] = []
    both = _by_outcome(evidence)
    for panel in (panel for panel in MODELS if panel in evidence.levels("panel")):
        model, part = MODELS[panel], both.select(panel=panel)
        robust = model.family == "robust-pca"
        common: dict[str, Any] = {"predicted": predicted, "x_label": "dimension d"}
        common["caption"] = (
            "Measurements are cells without gross errors." if robust else "The prediction is the statistical dimension."
        )
        y = "cells without errors" if robust else "measurements m"
        for outcome, words in OUTCOMES.items():
            name, title = f"map-{panel}-{outcome}", f"{model.title}: the truth is {words}"
            chosen = part.select(outcome=outcome)
            displays.append(PhaseMapDisplay.from_evidence(chosen, name, title, y_label=y, **common))
        y = "c = m* / (r d)" if model.is_hermitian else "c = m* / (r (d1 + d2))"
        common["y_label"] = "share of cells without errors" if robust else y
        title = f"{model.title}: where recovery and theorems set in"
        displays.append(
            BoundaryDisplay.from_evidence(part, f"boundary-{panel}", title, by="outcome", labels=OUTCOMES, **common)
        )
    return displays


RECIPE = Recipe(
    "theorems",
    __doc__,
    decide,
    grid=tuple(_blocks(DIMENSIONS, POINTS)),
    repetitions=10,
    quick={"grid": tuple(_blocks((8, 12), 5)), "repetitions": 2},
    resolve=_with_measurements,
    transition=Transition("m", "success", _scale),
    judge=judge,
    show=show,
)
