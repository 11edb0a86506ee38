"""Time of a certified solution against the dimension, for every family.

Square matrices at a fixed oversampling, well above the threshold. Only `flat_minimum` with its certificate is timed:
``processor`` is the processor time of all threads, ``wall`` the elapsed time. Times depend on the machine and on its
load, so run this recipe alone, with ``--jobs 1``. docs/recipes.md has the sizes.

Claim: at a fixed oversampling processor time grows with the dimension no faster than the most expensive step of each
family: with an exponent of at most 3.5 in dense sensing, at most 3 in bilinear sensing, covariance estimation, phase
retrieval, quadratic networks and robust PCA, and at most 1.25 in the number of cells in completion. At least 95 of 100
solutions are the truth with a certificate of uniqueness.

Refuted by: an exponent, or the share, on the other side of its limit with its whole interval. The intervals of the
exponents hold together with 95 % confidence.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin import families
from flatmin.families.base import Family, Instance
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import power_law
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._recovery import RECOVERED
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "judge", "show", "solve"]

#: For each family the rank, and the number of measurements per degree of freedom (0 for all cells).
SETTINGS = {
    "matrix-sensing": (2, 4.0),
    "bilinear-sensing": (2, 4.0),
    "matrix-completion": (5, 6.0),
    "robust-pca": (5, 0.0),
    "covariance": (2, 4.0),
    "phase-retrieval": (1, 6.0),
    "quadratic-network": (3, 4.0),
}
#: Families whose unknown matrix is real and symmetric.
SYMMETRIC = ("covariance", "quadratic-network")
DIMENSIONS = {
    "matrix-sensing": (20, 24, 28, 34, 40, 48, 57, 67, 80),
    "bilinear-sensing": (40, 48, 57, 67, 80, 95, 113, 135, 160),
    "matrix-completion": (100, 141, 200, 283, 400, 566, 800, 1131, 1600),
    "robust-pca": (100, 130, 168, 218, 283, 367, 476, 617, 800),
    "covariance": (50, 62, 77, 96, 119, 148, 184, 228, 283),
    "phase-retrieval": (50, 62, 77, 96, 119, 148, 184, 228, 283),
    "quadratic-network": (24, 28, 32, 38, 44, 51, 59, 69, 80),
}
#: Dimension of the problem that is solved before the timing starts.
WARM_UP = 24
#: For each family the claimed exponent, and the quantity it refers to: the dimension d or the number of cells.
LIMITS = dict.fromkeys(SETTINGS, ("d", 3.0)) | {
    "matrix-sensing": ("d", 3.5),
    "matrix-completion": ("measurements", 1.25),
}


def solve(parameters: Parameters, seed: int) -> Metrics:
    """Return the time of a solution of one draw, and whether it is certified and the truth."""
    family, d = families.find(str(parameters["family"])), int(parameters["d"])
    flat_minimum(_drawn(family, WARM_UP, 0).problem, seed=seed)
    instance = _drawn(family, d, seed)
    wall, processor = time.perf_counter(), time.process_time()
    solution = flat_minimum(instance.problem, seed=seed)
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    assert instance.truth is not None
    error = float(family.relative_error(instance.problem, solution, instance.truth))
    return {
        "processor": processor,
        "wall": wall,
        "measurements": len(instance.problem.data),
        "error": error,
        "certified": bool(solution.checked_certificate.holds and solution.checked_certificate.unique),
        "success": bool(
            error < RECOVERED and solution.checked_certificate.holds and solution.checked_certificate.unique
        ),
        "rank_found": solution.rank,
        "solved": solution.status.name,
        "iterations": solution.iterations,
    }


def _drawn(family: Family, d: int, seed: int) -> Instance:
    """Draw an instance with the family's rank and oversampling, but with no more measurements than unknowns."""
    rank, oversampling = SETTINGS[family.name]
    if not oversampling:
        return family.sample((d, d), rank, None, seed=seed)
    # A real symmetric matrix has d (d + 1) / 2 unknowns; any other has d², and so has a complex Hermitian one.
    freedom, unknowns = rank * (2 * d - rank), d * d
    if family.name in SYMMETRIC:
        freedom, unknowns = rank * d - rank * (rank - 1) // 2, d * (d + 1) // 2
    elif family.name == "phase-retrieval":
        freedom = 2 * d - 1
    return family.sample((d, d), rank, min(round(oversampling * freedom), unknowns), seed=seed)


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claim: an exponent for each family, and the share of certified truths."""
    text = "The share of solutions that are the truth, certified as unique"
    return [*_exponents(evidence), Claim.from_share(text, evidence.values("success"), above=0.95)]


def _exponents(evidence: Evidence) -> Iterator[Claim]:
    for family, (against, limit) in LIMITS.items():
        part = evidence.select(family=family)
        words = "the dimension" if against == "d" else "the number of cells"
        dimensions = part.levels("d")
        span = f", from d = {dimensions[0]} to {dimensions[-1]}" if dimensions else ""
        text = f"The exponent of processor time against {words} for {family}{span}"
        if len(dimensions) < 2:
            yield Claim.open(text, below=limit)
            continue
        x = [result.trial.parameters["d"] for result in part.results] if against == "d" else part.values(against)
        # A time of zero only says that the time was shorter than the resolution of the clock.
        seconds = np.maximum(part.values("processor"), time.get_clock_info("process_time").resolution)
        yield Claim(text, *power_law(x, seconds, shared_level(len(LIMITS))), below=limit)


def show(evidence: Evidence) -> list[Display]:
    """Return processor time against the dimension, for all families on logarithmic axes."""
    title = "Time of a certified solution against the dimension"
    axes: dict[str, Any] = {"x": "d", "y": "processor", "by": "family", "x_log": True, "y_log": True}
    axes |= {"x_label": "dimension d of a d×d matrix", "y_label": "processor time, seconds", "wide": True}
    axes["labels"] = {family: family.replace("-", " ") for family in SETTINGS}
    axes["caption"] = "Geometric means over draws of the processor time of the solve with its certificate."
    return [CurvesDisplay.from_evidence(evidence, "time", title, **axes)] if len(evidence) else []


RECIPE = Recipe(
    "scaling",
    __doc__,
    solve,
    grid=[{"family": (family,), "d": dimensions} for family, dimensions in DIMENSIONS.items()],
    repetitions=16,
    quick={
        "grid": [
            {"family": ("bilinear-sensing", "covariance"), "d": (20, 28, 40)},
            {"family": ("matrix-completion",), "d": (71, 100)},
        ],
        "repetitions": 2,
    },
    judge=judge,
    show=show,
)
