"""Regression on real data in the units in which they come, where invariance to units might help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.networks import signed_squares
from flatmin.lab.real_data import breast_cancer, diabetes, parts
from flatmin.lab.recipes._tuning.tuned import Data, Setting, by_seed, compare, draw_errors
from flatmin.lab.studies.base import Findings, Row, Study
from flatmin.lab.studies.quadratic_teacher import relative_error

__all__ = ["STUDY"]

WIDTH = 20


@dataclass(frozen=True)
class _Source:
    """Where data come from, and how many to train on and to choose strengths by; all others are for the test."""

    load: Callable[[], tuple[Array, Array]]
    sizes: tuple[int, int]


SOURCES = {"diabetes": _Source(diabetes, (200, 100)), "breast cancer": _Source(breast_cancer, (200, 150))}

DECAYS = np.geomspace(0.003, 3, 7)
TRACES = np.geomspace(3e-5, 3e-2, 7)
STANDARD, LINE = "standardized + decay", "a line"
STRENGTHS = {
    "plain": np.geomspace(0.01, 10, 7),
    "weight decay": DECAYS,
    "decoupled decay": np.geomspace(0.03, 30, 7),
    "trace penalty": TRACES,
    "SAM": np.geomspace(0.003, 3, 7),
    "label noise": np.geomspace(0.03, 30, 7),
    STANDARD: DECAYS,
    "standardized + trace": TRACES,
    "whitened + decay": DECAYS,
}


def _draw(source: _Source, seed: int) -> list[tuple[Array, Array]]:
    """Return inputs in one common unit with a constant 1 beside them, and targets of mean 0 and variance 1."""
    (x, y), *others = parts(*source.load(), source.sizes, seed)
    unit = np.sqrt(np.mean(x**2))
    return [(np.column_stack([z / unit, np.ones(len(z))]), (t - y.mean()) / y.std()) for z, t in [(x, y), *others]]


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    steps, seeds, tried = (60, 3, [2, 4]) if quick else (600, 12, list(range(7)))
    rows: list[Row] = []
    for name, source in SOURCES.items():
        data = Data.of([_draw(source, seed + s) for s in range(seeds)])
        networks = {
            "quadratic": (lambda d: signed_squares(d, WIDTH), list(STRENGTHS)),
            LINE: (lambda d: nn.Sequential(nn.Linear(d, 1, bias=False)), [STANDARD]),
        }
        for kind, (network, methods) in networks.items():
            setting = Setting(
                columns={"data": name, "network": kind},
                data=data,
                network=network,
                loss=nn.MSELoss(),
                error=relative_error,
                strengths={method: STRENGTHS[method][tried] for method in methods},
                steps=steps,
            )
            rows += compare(setting, seed)
    picture = [row | {"method": row["method"] if row["network"] != LINE else LINE} for row in rows]
    return Findings(
        rows,
        _claims(rows),
        by=("data", "network", "method"),
        draw=lambda figure: draw_errors(figure, picture, "data", "error / variance", log=True),
    )


def _claims(rows: list[Row]) -> list[Claim]:
    claims = []
    for name in SOURCES:

        def ratio(first: str, second: str, network: str = "quadratic", name: str = name) -> Array:
            top = by_seed(rows, first, data=name, network=network)
            return top / by_seed(rows, second, data=name, network="quadratic")

        trace = "trace penalty"
        claims += [
            Claim.of_mean(f"{name}: error of weight decay over {trace}", ratio("weight decay", trace), above=1.2),
            Claim.of_mean(f"{name}: error of {STANDARD} over {trace}", ratio(STANDARD, trace), below=1.1),
            Claim.of_mean(
                f"{name}: error of {trace} over its own, standardized", ratio(trace, "standardized + trace"), below=1.1
            ),
            Claim.of_mean(
                f"{name}: error of {trace} over weight decay, both standardized",
                ratio("standardized + trace", STANDARD),
                above=0.95,
            ),
            Claim.of_mean(
                f"{name}: error of {LINE} over the network's, both {STANDARD}", ratio(STANDARD, STANDARD, LINE), above=1
            ),
        ]
    return claims


STUDY = Study(
    name="regression",
    question="Does the trace penalty help on real data in raw units?",
    expectation="As with quadratic teachers: more than weight decay, no more than standardizing the inputs before it.",
    run=_run,
)
