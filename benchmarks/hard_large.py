"""Large completion problems near the recovery threshold: with contraction of the dual matrix, and without it.

``python -m benchmarks.hard_large [--draws N] [--limit SECONDS] [--only TEXT]`` prints a line for each draw, with
processor seconds, the status and the gap. Without contraction the augmented Lagrangian rounds follow the first guess;
they are stopped after the limit.
"""

import argparse
import time
from dataclasses import dataclass
from unittest import mock

import numpy as np

import flatmin as fm
from flatmin.solvers.convex import augmented_lagrangian


@dataclass(frozen=True)
class Size:
    """A random table with Gaussian factors: its side, its rank, and its cells for each degree of freedom."""

    side: int
    rank: int
    oversampling: float

    @property
    def name(self) -> str:
        return f"{self.side}×{self.side}, rank {self.rank}, oversampling {self.oversampling:g}"

    def problem(self, seed: int) -> fm.Problem:
        """Return the problem of a draw, without forming the matrix."""
        rng, m = np.random.default_rng(seed), int(self.oversampling * self.rank * (2 * self.side - self.rank))
        cells = np.unique(rng.integers(0, self.side**2, int(1.1 * m)))
        cells = np.sort(rng.choice(cells, m, replace=False))
        entries = fm.measurements.Entries(*np.divmod(cells, self.side), (self.side, self.side))
        L, R = (rng.standard_normal((self.side, self.rank)) for _ in range(2))
        return fm.Problem(entries, entries.forward_factors(L, R))


SIZES = (Size(3000, 5, 4), Size(5000, 5, 4.3), Size(20_000, 5, 5), Size(100_000, 5, 5), Size(100_000, 5, 8))


def line(size: Size, seed: int, limit: float, contraction: bool) -> str:
    """Return a line of the table for one draw."""
    problem, started = size.problem(seed), time.process_time()
    method = augmented_lagrangian.contracted if contraction else lambda *arguments: None
    with mock.patch.object(augmented_lagrangian, "contracted", method):
        s = fm.flat_minimum(problem, time_limit=limit)
    seconds, proof = time.process_time() - started, s.certificate
    how = "contraction" if contraction else "rounds alone"
    return f"| {size.name} | {seed} | {how} | {seconds:.3g} | {s.status.name} | {s.rank} | {proof.relative_gap:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds allowed for a solve")
    parser.add_argument("--only", default="", help="sizes whose name contains this text")
    options = parser.parse_args()
    fm.flat_minimum(Size(400, 2, 12).problem(0))  # compiles loops
    print("| table | draw | method | seconds | status | rank | gap |\n|---|---|---|---|---|---|---|")
    for size in (size for size in SIZES if options.only in size.name):
        for seed in range(options.draws):
            for contraction in (True, False):
                print(line(size, seed, options.limit, contraction), flush=True)


if __name__ == "__main__":
    main()
