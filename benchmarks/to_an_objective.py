"""Processor seconds of a penalised completion until it has the objective that cmfrec has after 11 sweeps.

OMP_NUM_THREADS=1 python -m benchmarks.to_an_objective [--draws N]

A million noisy cells of a 10 000 × 10 000 matrix of rank 30, 30 columns, penalties of .1 times the number of cells in a
row or column, one thread. cmfrec runs with its defaults in single precision, with conjugate gradients and Cholesky's
method in its last sweep; without this last sweep; and with Cholesky's method throughout. This library is called with
smaller and smaller tolerances, and its time is that of the first call whose objective is at most the lowest of cmfrec.
It includes sorting the cells, the search and the certificate; compiled loops are loaded before. The last line is about
this library with its default rule to stop: it ends once the limit on the rank binds and the objective has converged.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from scipy.sparse import coo_array

import flatmin as fm
from benchmarks.kernels import REG, SHAPE, WIDTH, cmf, draw
from benchmarks.markdown import line
from flatmin._core.arrays import Array

CELLS, SWEEPS, TOLERANCES = 1_000_000, 11, (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
#: Ways to run cmfrec: its defaults and others.
WAYS = {"cmfrec": {}, "without its last sweep": {"finalize_chol": False}, "Cholesky": {"use_cg": False}}


class Data:
    """Cells, their values, and the objective of factors."""

    def __init__(self, cells: int, seed: int) -> None:
        self.rows, self.cols, self.values = draw(SHAPE, cells, WIDTH, seed)
        self.prices = [
            REG * np.bincount(part, minlength=d) for part, d in zip((self.rows, self.cols), SHAPE, strict=True)
        ]

    def objective(self, L: Array, R: Array) -> float:
        errors = self.values - np.einsum("ij,ij->i", L[self.rows], R[self.cols])
        sizes = sum(float(p @ np.sum(F.astype(float) ** 2, axis=1)) for p, F in zip(self.prices, (L, R), strict=True))
        return float(errors @ errors) + sizes

    def theirs(self, way: dict[str, bool]) -> tuple[float, float]:
        """Return cmfrec's seconds and objective."""
        X = coo_array((self.values.astype(np.float32), (self.rows, self.cols)), shape=SHAPE)
        model = cmf(SWEEPS, np.float32, 1, **way)
        start = time.process_time()
        model.fit(X)
        return time.process_time() - start, self.objective(model.A_, model.B_)

    def ours(self, **options: Any) -> tuple[float, fm.Solution]:
        """Return the seconds of this library, and its solution."""
        start = time.process_time()
        problem = fm.Problem(fm.measurements.Entries(self.rows, self.cols, SHAPE), self.values)
        alpha = REG * float(np.sqrt(np.prod(SHAPE))) / 2
        found = fm.flat_minimum(problem, alpha=alpha, max_rank=WIDTH, **options)
        return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    warnings.simplefilter("ignore")
    Data(CELLS // 4, draws).ours(stop="objective", tol=TOLERANCES[0])  # loads the compiled loops
    line(["draw", "s", "tolerance", "objective", "gap", *(f"{name} s, objective, times slower" for name in WAYS)])
    line(["---"] * (5 + len(WAYS)))
    for seed in range(draws):
        data = Data(CELLS, seed)
        others = [data.theirs(way) for way in WAYS.values()]
        goal = min(value for _, value in others)
        for tol in TOLERANCES:
            seconds, found = data.ours(stop="objective", tol=tol)
            value = data.objective(*found.factors)
            if value <= goal:
                break
        shown = [f"{t:.2f}, {f:.0f}, {t / seconds:.1f}" for t, f in others]
        line([seed, f"{seconds:.2f}", f"{tol:g}", f"{value:.0f}", f"{found.certificate.relative_gap:.2f}", *shown])
    seconds, found = data.ours()
    searched, gap = found.history["seconds"][-1], found.certificate.relative_gap
    print(
        f"draw {seed} until it converges: {seconds:.1f} s, the search {searched:.1f} s; {found.status}, gap {gap:.2f}"
    )


if __name__ == "__main__":
    main()
