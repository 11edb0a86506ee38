"""The problems that are timed, and what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass

import flatmin as fm


@dataclass(frozen=True)
class Case:
    family: str
    shape: tuple[int, int]
    rank: int
    n_measurements: int
    seed: int = 0
    tol: float = 1e-7

    def draw(self) -> fm.families.Instance:
        return fm.families.find(self.family).sample(self.shape, self.rank, self.n_measurements, seed=self.seed)


def completion(d1: int, d2: int, rank: int, oversampling: float, **more) -> Case:
    return Case("matrix-completion", (d1, d2), rank, round(oversampling * rank * (d1 + d2 - rank)), **more)


#: Beside every competitor, and how many times slower than flatmin each should be at least.
PEERS = {
    "sensing 60x50 r2 m880": (Case("matrix-sensing", (60, 50), 2, 880), {"scs": 50, "clarabel": 300}),
    "sensing 60x50 r2 m330": (Case("matrix-sensing", (60, 50), 2, 330), {"scs": 4}),
    "bilinear 60x50 r2 m880": (Case("bilinear-sensing", (60, 50), 2, 880), {"scs": 50, "clarabel": 300}),
    "bilinear 60x50 r2 m330": (Case("bilinear-sensing", (60, 50), 2, 330), {"scs": 4}),
    "completion 200x150 r3 os4": (completion(200, 150, 3, 4), {"scs": 20}),
    "completion 200x150 r3 os2": (completion(200, 150, 3, 2), {"scs": 4}),
}

#: Alone, to a gap of 1e-9 (the last two: 1e-6), with the seconds allowed on one core.
ALONE = {
    "sensing 100x100 r3 m3000": (Case("matrix-sensing", (100, 100), 3, 3000, tol=1e-9), 3),
    "sensing 100x100 r3 m1200": (Case("matrix-sensing", (100, 100), 3, 1200, tol=1e-9), 15),
    "completion 1000x1000 r5 os5": (completion(1000, 1000, 5, 5, tol=1e-9), 1),
    "completion 5000x5000 r5 os7": (completion(5000, 5000, 5, 7, tol=1e-9), 5),
    "completion 1000x1000 r5 os4": (completion(1000, 1000, 5, 4, tol=1e-6), 30),
    "completion 1000x1000 r5 os3": (completion(1000, 1000, 5, 3, tol=1e-6), 60),
}
