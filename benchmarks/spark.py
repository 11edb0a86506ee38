"""Cost of a certificate compared with a fit by Spark, on matrices of growing size.

python -m benchmarks.spark [ROWS COLUMNS CELLS RANK]...
"""

from __future__ import annotations

import sys

import numpy as np

from flatmin.spark import SparkCompletion
from flatmin.spark.session import session

#: Rows, columns, cells and the width of the factors.
SIZES = ((1000, 800, 100_000, 8),)
#: The columns that are printed for each fit.
HEAD = ("cells", "residuals", "read, s", "ALS, s", "sweeps, s", "certificate, s", "products", "rank", "gap", "bound")


def cells(rows: int, columns: int, count: int, seed: int = 0):
    """Return positions and values of noisy cells of a matrix of rank 5."""
    rng = np.random.default_rng(seed)
    L, R = rng.standard_normal((rows, 5)), rng.standard_normal((columns, 5))
    i, j = rng.integers(rows, size=count), rng.integers(columns, size=count)
    return i, j, np.einsum("nk,nk->n", L[i], R[j]) + rng.standard_normal(count)


def measure(rows: int, columns: int, count: int, width: int, collect: bool) -> None:
    """Print a line of the table: the seconds of each part of one fit."""
    found = SparkCompletion.fit(cells(rows, columns, count), alpha=0.3, rank=width, collect=collect)
    proof, costs = found.certificate, found.costs
    seconds = (f"{costs[part]:.1f}" for part in ("read", "als", "sweeps", "certificate"))
    size, where = f"{count} of {rows} × {columns}", "collected" if collect else "distributed"
    bound = f"{proof.bound_kind}, {'holds' if proof.holds else 'does not hold'}"
    line((size, where, *seconds, int(costs["products"]), found.solution.rank, f"{proof.relative_gap:.1e}", bound))


def line(entries: tuple) -> None:
    """Print a line of a table."""
    print("| " + " | ".join(map(str, entries)) + " |", flush=True)


def main() -> None:
    numbers = [int(float(word)) for word in sys.argv[1:]]
    sizes = [tuple(numbers[i : i + 4]) for i in range(0, len(numbers), 4)] or SIZES
    with session() as spark:
        spark.range(1).count()
        line(HEAD)
        line(("---",) * len(HEAD))
        for size in sizes:
            for collect in (True, False):
                measure(*size, collect)


if __name__ == "__main__":
    main()
