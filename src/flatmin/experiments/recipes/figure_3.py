"""Exact recovery over dimension and number of measurements, flat minima beside the nuclear norm.

The paper's Figure 3 and two panels more: matrix and bilinear sensing, completion, quadratic networks; covariance and
phase retrieval. Square matrices of rank 2, three neurons in networks, one signal in phase retrieval; ten draws of every
cell. A draw succeeds if the relative error is below 1e-6. Both methods see the same draws.

Claim: flat minima recover the truth exactly from ``c r (d1 + d2)`` measurements on (``c r d`` for symmetric matrices),
where c stays bounded as the dimension grows and is about that of the nuclear norm. In Gaussian sensing that is the
statistical dimension: c rises towards 3 as the rank becomes small beside the dimension.

Refuted by: a boundary of Gaussian sensing away from the statistical dimension by more than its band, elsewhere a c that
goes on growing, a cell far above the boundary that fails, or a c of flat minima well above that of the nuclear norm. In
covariance estimation and phase retrieval every positive semidefinite fit is flat, so "flat" stands for the fit that the
solver finds.

Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", Information and Inference
13(2), 2024, Figure 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flatmin.experiments.recipe import Block, Metrics, Parameters, Recipe
from flatmin.experiments.recovery import HERMITIAN, degrees, metrics_of_recovery
from flatmin.experiments.transition import Transition

__all__ = ["RECIPE", "recover"]

#: The family of each panel, the rank, and the numbers of measurements between which success sets in, in degrees.
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
DIMENSIONS = (10, 15, 20, 25, 30, 35, 40)
POINTS = 12


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return how well one method recovers one draw."""
    name, _, _ = PANELS[str(parameters["panel"])]
    d, rank, m = (int(parameters[key]) for key in ("d", "rank", "m"))
    power = POWERS[str(parameters["method"])]
    return metrics_of_recovery(name, (d, d), rank, m, seed, metric_power=power)


def _blocks(dimensions: tuple[int, ...], points: int) -> Iterator[Block]:
    for panel, (_, rank, (low, high)) in PANELS.items():
        multiples = tuple(round(float(x), 4) for x in np.linspace(low, high, points))
        yield {
            "panel": (panel,),
            "method": tuple(POWERS),
            "d": dimensions,
            "rank": (rank,),
            "multiple": multiples,
        }


def _with_measurements(parameters: Parameters) -> Parameters | None:
    """Return the cell of a multiple of the degrees, or None if there are not so many measurements."""
    cell: dict[str, Any] = dict(parameters)
    name, d = PANELS[cell["panel"]][0], cell["d"]
    if "multiple" in cell:
        cell["m"] = round(cell.pop("multiple") * _scale(cell))
    most = d * (d + 1) // 2 if name in HERMITIAN else d * d
    return cell if 1 <= cell["m"] <= most and cell["rank"] <= d else None


def _scale(parameters: Mapping[str, Any]) -> float:
    return degrees(PANELS[parameters["panel"]][0], parameters["d"], parameters["rank"])


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
)
