"""What a certificate costs beside a fit by Spark, on matrices that grow.

python -m benchmarks.spark [ROWS COLUMNS CELLS RANK]...
"""

from __future__ import annotations

import sys

import numpy as np

from flatmin.spark import SparkCompletion
from flatmin.spark.session import session

#: Rows, columns, cells and the width of the factors.
SIZES = ((1000, 800, 100_000, 16), (10_000, 5000, 1_000_000, 16))


def cells(rows: int, columns: int, count: int, seed: int = 0):
    """Return positions and values of noisy cells of a matrix of rank 5."""
    rng = np.random.default_rng(seed)
    L, R = rng.standard_normal((rows, 5)), rng.standard_normal((columns, 5))
    i, j = rng.integers(rows, size=count), rng.integers(columns, size=count)
    return i, j, np.einsum("nk,nk->n", L[i], R[j]) + rng.standard_normal(count)


def measure(rows: int, columns: int, count: int, width: int, collect: bool) -> None:
    """Print the seconds of each part of one fit."""
    found = SparkCompletion.fit(cells(rows, columns, count), alpha=0.3, rank=width, collect=collect)
    proof, parts = found.certificate, ", ".join(f"{name} {value:.1f}" for name, value in found.costs.items())
    where = "collected" if collect else "distributed"
    print(
        f"{rows} x {columns}, {count} cells, width {width}, {where}: {parts}; rank {found.solution.rank}, "
        f"gap {proof.relative_gap:.1e}, {proof.bound_kind}, holds {proof.holds}",
        flush=True,
    )


def main() -> None:
    numbers = [int(float(word)) for word in sys.argv[1:]]
    sizes = [tuple(numbers[i : i + 4]) for i in range(0, len(numbers), 4)] or SIZES
    with session() as spark:
        spark.range(1).count()
        for size in sizes:
            for collect in (True, False):
                measure(*size, collect)


if __name__ == "__main__":
    main()
