"""The problems that are timed, and what is wanted of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import flatmin as fm

PORTRAIT = Path(__file__).parents[1] / "examples" / "data" / "portrait.png"


@dataclass(frozen=True)
class Wish:
    """What is wanted of one number of the referee's judgement: a relation (≤, ≥, =) and a value."""

    name: str
    relation: str
    value: Any

    def met(self, judgement: Mapping[str, Any]) -> bool:
        found = judgement.get(self.name)
        if self.relation == "=" or found is None:
            return bool(found == self.value)
        return bool(found <= self.value if self.relation == "≤" else found >= self.value)

    def __str__(self) -> str:
        if self.value is True:
            return {"holds": "certified"}.get(self.name, self.name)
        return f"{self.name.removesuffix(' size')} {self.relation} {self.value}"


def seconds(most: float) -> Wish:
    return Wish("seconds", "≤", most)


def error(most: float) -> Wish:
    return Wish("error", "≤", most)


def gap(most: float) -> Wish:
    return Wish("gap size", "≤", most)


CERTIFIED, UNIQUE, DENSE = Wish("holds", "=", True), Wish("unique", "=", True), Wish("margin kind", "=", "dense")
#: Never called unique where it is not the truth; never called not unique without another fit in hand.
HONEST = Wish("honest", "=", True)


@dataclass(frozen=True)
class Case:
    """A problem, or several draws of one, and who is to solve it.

    ``slower`` names competitors and how many times slower than flatmin each should be at least; ``beside`` says whether
    all that serve the family run at all. ``solver`` is the file that stands for flatmin.
    """

    name: str
    family: str
    draw: Callable[[int], fm.families.Instance]
    wishes: tuple[Wish, ...] = (CERTIFIED,)
    slower: Mapping[str, float] = field(default_factory=dict)
    beside: bool = False
    tol: float = 1e-9
    draws: int = 1
    solver: str = "flatmin_"


def sampled(family: str, *arguments: Any, **more: Any) -> Callable[[int], fm.families.Instance]:
    """Return a function from seeds to instances of a family."""
    return lambda seed: fm.families.find(family).sample(*arguments, seed=seed, **more)


def completion(d1: int, d2: int, rank: int, oversampling: float) -> Callable[[int], fm.families.Instance]:
    return sampled("matrix-completion", (d1, d2), rank, round(oversampling * rank * (d1 + d2 - rank)))


def diffraction(side: int, masks: int) -> Callable[[int], fm.families.Instance]:
    """Return coded diffraction patterns of a photograph."""

    def draw(seed: int) -> fm.families.Instance:
        from PIL import Image

        with Image.open(PORTRAIT) as image:
            picture = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS), dtype=float) / 255
        return fm.families.phase_retrieval.from_picture(picture, masks, seed=seed)

    return draw


def general_gram(d: int, rank: int, m: int) -> Callable[[int], fm.families.Instance]:
    """Return positive semidefinite problems with random symmetric sensing matrices."""

    def draw(seed: int) -> fm.families.Instance:
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((m, d, d))
        U = rng.standard_normal((d, rank))
        measurement = fm.measurements.Dense((A + A.transpose(0, 2, 1)) / 2)
        return fm.families.Instance(fm.Problem(measurement, measurement.forward(U @ U.T), fm.Gram()), U @ U.T)

    return draw


def product_cases() -> list[Case]:
    """Return models ``X = L Rᵀ``: small ones beside other solvers, large ones alone."""
    cases = []
    for family, short in (("matrix-sensing", "sensing"), ("bilinear-sensing", "bilinear")):
        for m, slower in ((880, {"scs": 50.0, "clarabel": 300.0}), (330, {"scs": 4.0})):
            draw = sampled(family, (60, 50), 2, m)
            cases.append(Case(f"{short} 60x50 r2 m{m}", family, draw, slower=slower, beside=True, tol=1e-7))
    for m, most in ((3000, 3), (1200, 15)):
        draw = sampled("matrix-sensing", (100, 100), 3, m)
        cases.append(Case(f"sensing 100x100 r3 m{m}", "matrix-sensing", draw, (CERTIFIED, seconds(most))))
    for ratio, least in ((4, 20.0), (2, 4.0)):
        name, draw = f"completion 200x150 r3 os{ratio}", completion(200, 150, 3, ratio)
        cases.append(Case(name, "matrix-completion", draw, slower={"scs": least}, beside=True, tol=1e-7))
    for d, ratio, most, tol in ((1000, 5, 1, 1e-9), (5000, 7, 5, 1e-9), (1000, 4, 30, 1e-6), (1000, 3, 60, 1e-6)):
        name, wishes = f"completion {d}x{d} r5 os{ratio}", (CERTIFIED, seconds(most))
        cases.append(Case(name, "matrix-completion", completion(d, d, 5, ratio), wishes, tol=tol))
    return cases


def phase_cases() -> list[Case]:
    """Return signals from intensities; there flatness is no choice, and uniqueness is what needs a proof."""
    family, cases = "phase-retrieval", []
    for real, word, most in ((True, "real", 0.5), (False, "complex", 1.5)):
        draw = sampled(family, 400, 1, 1600, real=real)
        wishes = (CERTIFIED, seconds(most), error(1e-12))
        cases.append(Case(f"phase {word} d400 m4d", family, draw, wishes, beside=True, tol=1e-12))
    certified, open_or_shown = (UNIQUE, DENSE, seconds(0.6), error(1e-12)), (CERTIFIED, HONEST)
    for real, word, ratio, wishes in (
        (True, "real", 3, certified),
        (False, "complex", 5, certified),
        (True, "real", 2, open_or_shown),
        (False, "complex", 3, open_or_shown),
    ):
        draw = sampled(family, 100, 1, 100 * ratio, real=real)
        cases.append(Case(f"phase {word} d100 m{ratio}d", family, draw, wishes, draws=5))
    margin = Wish("margin", "≥", 0.08)
    fit = Wish("seconds to fit", "≤", 1.5)
    estimated = Wish("margin kind", "=", "estimated")
    for side, masks, wishes in (
        (256, 8, (fit, error(1e-10), margin, estimated)),
        (256, 6, (CERTIFIED, error(1e-10))),
        (64, 8, (UNIQUE, margin, seconds(6), error(1e-10))),
    ):
        name, beside = f"diffraction {side}x{side}, {masks} masks", side == 256
        cases.append(Case(name, "coded-diffraction", diffraction(side, masks), wishes, beside=beside, tol=1e-10))
    return cases


def symmetric_cases() -> list[Case]:
    """Return models ``X = U Uᵀ`` and quadratic networks."""
    wishes = (UNIQUE, Wish("rank", "=", 5), seconds(1), error(1e-10))
    cases = [Case("covariance d200 r5 m3dr", "covariance", sampled("covariance", 200, 5, 3000), wishes)]
    for m, where in ((600, "above"), (120, "below")):
        name, wishes = f"gram d50 r2 m{m} ({where})", (CERTIFIED, seconds(0.5), gap(1e-12))
        cases.append(Case(name, "general-gram", general_gram(50, 2, m), wishes, beside=True, tol=1e-12))
    for m, most, precision in ((600, 0.6, ()), (225, 3.0, (gap(1e-9),))):
        draw, wishes = sampled("quadratic-network", 50, (2, 1), m), (CERTIFIED, seconds(most), *precision)
        cases.append(Case(f"network d50 (2,1) m{m}", "quadratic-network", draw, wishes, beside=True))
    return cases


def cell_cases() -> list[Case]:
    """Return tables with gross errors, and completion by reweighting."""
    wishes, cases = (CERTIFIED, seconds(1), gap(1e-9)), []
    for name, observed in (("robust 500x500 r10 10%", None), ("robust, 20% missing", 200_000)):
        draw = sampled("robust-pca", (500, 500), 10, observed)
        cases.append(Case(name, "robust-pca", draw, wishes, beside=True))
    name, draw, wishes = "completion 300x300 r5 os2", completion(300, 300, 5, 2), (error(1e-8), seconds(1))
    return [*cases, Case(name, "reweighting", draw, wishes, draws=20, solver="reweighted_")]


CASES = {case.name: case for case in (*product_cases(), *phase_cases(), *symmetric_cases(), *cell_cases())}
