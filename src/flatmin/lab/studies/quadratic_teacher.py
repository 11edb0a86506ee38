"""Regression on a quadratic teacher of low rank: the same data in good and in bad units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.networks import signed_squares
from flatmin.lab.recipes._tuning.tuned import Data, Setting, by_seed, compare, draw_errors
from flatmin.lab.studies.base import Findings, Row, Study

__all__ = ["STUDY", "relative_error"]

#: Standard deviation of the noise, where that of the targets is 1.
NOISE = 0.3
#: Scales of the inputs in bad units; the teacher sees the third with the smallest.
SCALES = (1.0, 10.0)
#: Fresh samples without noise.
TEST = 1000

ISOTROPIC, SCALED, ROTATED = "isotropic", "scales 1 to 10", "scaled, rotated"
DECAYS = np.geomspace(0.003, 3, 7)
STRENGTHS = {
    "plain": np.geomspace(0.01, 10, 7),
    "weight decay": DECAYS,
    "decoupled decay": np.geomspace(0.03, 30, 7),
    "trace penalty": np.geomspace(3e-5, 3e-2, 7),
    "SAM": np.geomspace(0.003, 3, 7),
    "label noise": np.geomspace(0.03, 30, 7),
    "standardized + decay": DECAYS,
    "whitened + decay": DECAYS,
}


@dataclass(frozen=True)
class _Size:
    """Dimension, training samples, hidden units, steps, seeds, and which strengths are tried."""

    d: int
    n: int
    width: int
    steps: int
    seeds: int
    tried: tuple[int, ...] = tuple(range(7))


FULL = _Size(d=30, n=300, width=20, steps=800, seeds=10)
QUICK = _Size(d=12, n=100, width=6, steps=150, seeds=4, tried=(1, 3, 5))


def _draw(d: int, n: int, seed: int) -> list[tuple[Array, Array]]:
    """Return isotropic inputs and targets ``((u₁ᵀx)² − (u₂ᵀx)²)/2`` with noise, and fresh ones without."""
    rng = np.random.default_rng(seed)
    u = np.zeros((d, 2))
    u[: d // 3] = np.linalg.qr(rng.standard_normal((d // 3, 2)))[0]
    samples = []
    for size, noise in ((n, NOISE), (n, NOISE), (TEST, 0.0)):
        x = rng.standard_normal((size, d))
        z = x @ u
        y = (z[:, 0] ** 2 - z[:, 1] ** 2) / 2 + noise * rng.standard_normal(size)
        samples.append((x, y[:, None]))
    return samples


def _units(d: int, seed: int) -> dict[str, Array]:
    """Return the matrices by which isotropic inputs are multiplied."""
    scales = np.diag(np.geomspace(*SCALES, d))
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    return {ISOTROPIC: np.eye(d), SCALED: scales, ROTATED: scales @ rotation}


def relative_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error (S,) over the variance of the targets, both (S, n, 1)."""
    return (outputs - targets).square().mean((1, 2)) / targets.var((1, 2))


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    size = QUICK if quick else FULL
    draws = [_draw(size.d, size.n, seed + s) for s in range(size.seeds)]
    rows: list[Row] = []
    for inputs, matrix in _units(size.d, seed).items():
        setting = Setting(
            columns={"inputs": inputs},
            data=Data.of([[(x @ matrix, y) for x, y in draw] for draw in draws]),
            network=lambda d: signed_squares(d, size.width),
            loss=nn.MSELoss(),
            error=relative_error,
            strengths={name: tried[list(size.tried)] for name, tried in STRENGTHS.items()},
            steps=size.steps,
        )
        rows += compare(setting, seed)
    return Findings(
        rows, _claims(rows), by=("inputs", "method"), draw=lambda f: draw_errors(f, rows, "inputs", "error", log=True)
    )


def _claims(rows: list[Row]) -> list[Claim]:
    def ratio(first: str, second: str, inputs: str, other_inputs: str | None = None) -> Any:
        return by_seed(rows, first, inputs=inputs) / by_seed(rows, second, inputs=other_inputs or inputs)

    trace, decay, white = "trace penalty", "weight decay", "whitened + decay"
    claims = [
        Claim.of_mean(f"{ISOTROPIC}: error of {decay} over {trace}", ratio(decay, trace, ISOTROPIC), below=1.5),
        Claim.of_mean(f"{ISOTROPIC}: error of plain over {trace}", ratio("plain", trace, ISOTROPIC), above=2),
    ]
    for bad in (SCALED, ROTATED):
        claims += [
            Claim.of_mean(f"{bad}: error of {decay} over {trace}", ratio(decay, trace, bad), above=3),
            Claim.of_mean(f"{bad}: error of SAM over {trace}", ratio("SAM", trace, bad), above=1.5),
            Claim.of_mean(f"{bad}: error of {white} over {trace}", ratio(white, trace, bad), below=1.25),
            Claim.of_mean(
                f"{bad}: error of {trace} over its own, {ISOTROPIC}", ratio(trace, trace, bad, ISOTROPIC), below=1.25
            ),
        ]
    standard = "standardized + decay"
    return [
        *claims,
        Claim.of_mean(f"{SCALED}: error of {standard} over {trace}", ratio(standard, trace, SCALED), below=1.5),
        Claim.of_mean(f"{ROTATED}: error of {standard} over {trace}", ratio(standard, trace, ROTATED), above=3),
    ]


STUDY = Study(
    name="quadratic-teacher",
    question="What does the trace penalty buy where the truth is a quadratic network of low rank?",
    expectation="As much as weight decay where inputs are isotropic, far more where they are badly scaled, and no more "
    "than whitening the inputs before weight decay: it is invariant to linear maps of the inputs, about.",
    run=_run,
)
