"""Times of sweeps compared with cmfrec, of hot loops compared with the limits of the machine, and of a large solve.

python -m benchmarks.kernels             sweeps and loops, a minute
python -m benchmarks.kernels --large     20 million entries to a relative gradient of 1e-4, with peak memory, minutes

A sweep is both halves, 10 000 × 10 000, 5 million entries, 30 columns; the same objective in the same precision: cmfrec
with ``scale_lam=True`` and without biases. The time of its sweep is that of sweeps 5 to 8, because it starts near zero,
where conjugate gradients end at once.

The loops are loops over cells, and passes of robust PCA over a dense matrix of order 2000. They are compared by the
bytes that they move, counting every gathered row as read from memory although most come from a cache, and by their
operations. The limits are a triad ``a = b + s c`` over arrays larger than any cache and a product of matrices of order
1500, on one thread in the same run. The larger of both shares is the share of the machine that is used; a share above
one means that the cache is faster than memory.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.gauge import forget_peak, resident
from benchmarks.markdown import line
from flatmin._core.arrays import Array
from flatmin._core.threads import one_thread
from flatmin.linalg.kernels import Cells, entrywise_loops
from flatmin.linalg.kernels.cross_products import cross_product
from flatmin.linalg.kernels.row_passes import RowPasses

SHAPE, ENTRIES, WIDTH, REG = (10_000, 10_000), 5_000_000, 30, 0.1
DENSE, RANK = 2000, 10
LARGE_SHAPE, LARGE_ENTRIES, LARGE_RANK = (20_000, 20_000), 20_000_000, 20


def draw(shape: tuple[int, int], m: int, rank: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return rows, columns and noisy values of about m different entries of a matrix of low rank."""
    rng = np.random.default_rng(seed)
    cell = np.unique(rng.integers(0, shape[0] * shape[1], m))
    rows, cols = (part.astype(np.int32) for part in np.divmod(cell, shape[1]))
    L, R = (rng.standard_normal((d, rank)) for d in shape)
    values = Cells.from_positions(rows, cols, shape).sampled(L, R) / np.sqrt(rank)
    return rows, cols, values + 0.3 * rng.standard_normal(len(values))


def fastest(call: Callable[[], object], repeats: int = 3) -> float:
    """Return the smallest of some times, in seconds, after one call to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[1:])


class Halves:
    """Both halves of a sweep with this library's kernels."""

    def __init__(self, rows: Array, cols: Array, values: Array, dtype: type, threads: int) -> None:
        self.cells = Cells.from_positions(rows, cols, SHAPE, threads)
        self.across = self.cells.transposed
        self.values = values.astype(dtype), self.across.arranged(values.astype(dtype))
        self.prices = [REG * np.diff(c.pointers).astype(dtype) for c in (self.cells, self.across)]
        self.R = np.random.default_rng(0).standard_normal((SHAPE[1], WIDTH)).astype(dtype)

    def __call__(self) -> Array:
        L, _ = self.cells.ridge(self.values[0], self.R, self.prices[0])
        return self.across.ridge(self.values[1], L, self.prices[1])[0]


def cmf(sweeps: int, dtype: type, threads: int, **options: Any) -> Any:
    """Return cmfrec's model of the same objective, without biases."""
    from cmfrec import CMF

    return CMF(
        k=WIDTH,
        lambda_=REG,
        scale_lam=True,
        user_bias=False,
        item_bias=False,
        center=False,
        niter=sweeps,
        use_float=dtype is np.float32,
        nthreads=threads,
        verbose=False,
        precompute_for_predictions=False,
        random_state=0,
        **options,
    )


def cmfrec(rows: Array, cols: Array, values: Array, dtype: type, threads: int, use_cg: bool) -> float:
    """Return cmfrec's seconds per sweep."""
    from scipy.sparse import coo_matrix

    X, seconds = coo_matrix((values.astype(dtype), (rows, cols)), shape=SHAPE), []
    for count in (4, 8):
        model = cmf(count, dtype, threads, use_cg=use_cg, finalize_chol=False)
        start = time.perf_counter()
        model.fit(X)
        seconds.append(time.perf_counter() - start)
    return (seconds[1] - seconds[0]) / 4


def sweeps(rows: Array, cols: Array, values: Array) -> None:
    """Print seconds per sweep."""
    theirs = ["cmfrec Cholesky s", "cmfrec CG s", "Cholesky / ours", "best / ours"]
    line(["precision", "threads", "this library s", *theirs])
    line(["---"] * 7)
    for dtype in (np.float64, np.float32):
        for threads in (1, 2):
            ours = fastest(Halves(rows, cols, values, dtype, threads))
            other = [cmfrec(rows, cols, values, dtype, threads, use_cg) for use_cg in (False, True)]
            shown = [f"{t:.3f}" for t in (ours, *other)]
            line([dtype.__name__, threads, *shown, f"{other[0] / ours:.1f}", f"{min(other) / ours:.1f}"])


def machine(dtype: type) -> tuple[float, float]:
    """Return bytes per second of a triad, and operations per second of a product of matrices, on one thread."""
    b, c = np.ones(20_000_000, dtype), np.ones(20_000_000, dtype)
    a = np.empty_like(b)

    def triad() -> None:
        np.multiply(c, dtype(3), out=a)
        np.add(a, b, out=a)

    A = np.random.default_rng(0).standard_normal((1500, 1500)).astype(dtype)
    with one_thread():
        return 5 * a.nbytes / fastest(triad), 2 * 1500**3 / fastest(lambda: A @ A)


def cases(half: Halves) -> dict[str, tuple[Callable[[], object], float, float]]:
    """Return each hot loop over cells with the bytes that it moves and its operations."""
    cells, y, R, k = half.cells, half.values[0], half.R, WIDTH
    m, size, both = cells.size, R.itemsize, np.hstack([R, R])
    rows, own = m * k * size, m * (4 + size)
    blocks, solves = SHAPE[0] * k * k * size, SHAPE[0] * k**3 / 3
    return {
        "cells of a product": (lambda: cells.sampled(R, R), rows + own, 2.0 * m * k),
        "sparse times factors": (lambda: cells.product(y, R), rows + own, 2.0 * m * k),
        "second derivative, half": (lambda: cells.curved(y, both, both), 2 * rows + own, 8.0 * m * k),
        "k × k blocks": (lambda: cells.grams(R), rows + 4 * m + blocks, 2.0 * m * k * k),
        "half a sweep": (lambda: cells.ridge(y, R, half.prices[0]), rows + own, 2.0 * m * (k + 1) ** 2 + solves),
        **(in_double(half) if R.dtype == np.float64 else {}),
    }


def in_double(half: Halves) -> dict[str, tuple[Callable[[], object], float, float]]:
    """Return the same for loops that exist only in double precision."""
    cells, y, R, k, m = half.cells, half.values[0], half.R, WIDTH, half.cells.size
    large, x, out = np.ones(SHAPE[0]), np.zeros(SHAPE[0]), np.zeros(SHAPE[1])
    arguments = cells.pointers, cells.indices, y, large, out, x, out.copy()
    return {
        "normal equations, half": (lambda: cross_product(cells, y, R, R, R), 2.0 * m * k * 8 + m * 12, 4.0 * m * k),
        "offsets eliminated": (lambda: entrywise_loops.eliminated(*arguments), 2.0 * m * (12 + 8), 4.0 * m),
    }


def passes(dtype: type) -> dict[str, tuple[Callable[[], object], float, float]]:
    """Return the same for the passes of robust PCA, whose blocks of X stay in the cache."""
    rng, n, k = np.random.default_rng(0), DENSE**2, RANK
    Y, W, Z = (rng.standard_normal((DENSE, DENSE)).astype(dtype) for _ in range(3))
    L, R = (rng.standard_normal((DENSE, k)).astype(dtype) for _ in range(2))
    run, size, high = RowPasses(Y, threads=1), Y.itemsize, np.ones(DENSE, dtype)
    free, twice = np.ones(Y.shape, bool), (np.hstack([L, L]), np.hstack([R, R]))
    levels = {"level": 1.0, "rho": 1.0, "following": 1.7}
    return {
        "robust PCA, round": (lambda: run.ascend(L, R, W, Z, **levels), 4.0 * n * size, 2.0 * n * k),
        "robust PCA, what is left": (lambda: run.trim(L, R, (high, high), free, L, R), n * (size + 1.0), 6.0 * n * k),
        "robust PCA, tangent": (lambda: run.masked(*twice, free, L, R), 1.0 * n, 8.0 * n * k),
    }


def loops(rows: Array, cols: Array, values: Array) -> None:
    """Print the bytes and operations of each hot loop, as shares of the limits of the machine."""
    line(["loop", "precision", "s", "GB/s", "of the triad", "Gflop/s", "of the product of matrices"])
    line(["---"] * 7)
    for dtype in (np.float64, np.float32):
        memory, arithmetic = machine(dtype)
        for name, (call, moved, operations) in {**cases(Halves(rows, cols, values, dtype, 1)), **passes(dtype)}.items():
            with one_thread():
                seconds = fastest(call)
            rates = moved / seconds, operations / seconds
            shares = [f"{rates[0] / 1e9:.1f}", f"{rates[0] / memory:.2f}", f"{rates[1] / 1e9:.1f}"]
            line([name, dtype.__name__, f"{seconds:.4f}", *shares, f"{rates[1] / arithmetic:.2f}"])
        line(["triad", dtype.__name__, "", f"{memory / 1e9:.1f}", "1", "", ""])
        line(["product of matrices", dtype.__name__, "", "", "", f"{arithmetic / 1e9:.1f}", "1"])


def large() -> None:
    """Print time and memory of a penalised solve of 20 million entries, and its accuracy."""
    rows, cols, values = draw(LARGE_SHAPE, LARGE_ENTRIES, LARGE_RANK)
    forget_peak()
    before = resident("VmRSS") or math.nan
    triples = rows.nbytes + cols.nbytes + values.nbytes
    problem = fm.Problem(fm.measurements.Entries(rows, cols, LARGE_SHAPE), values)
    alpha = REG * np.sqrt(np.prod(LARGE_SHAPE)) / 2
    start = time.perf_counter()
    s = fm.flat_minimum(problem, alpha=float(alpha), tol=1e-7, stop="objective")
    seconds = time.perf_counter() - start
    proof = s.certificate
    factors = sum(F.nbytes for F in s.factors)
    memory = ["triples MB", "factors MB", "peak − before MB", "of triples"]
    line(["entries", "s", "of it sweeps", "rank", "gap", "bound", *memory])
    line(["---"] * 10)
    added = ((resident() or math.nan) - before) * 2**20
    sizes = [f"{x / 1e6:.0f}" for x in (triples, factors, added)]
    shown = [f"{seconds:.0f}", f"{s.history['seconds'][-1]:.0f}", s.rank, f"{proof.relative_gap:.1e}", proof.bound_kind]
    line([len(rows), *shown, *sizes, f"{(added - factors) / triples:.1f}"])
    line(["relative gradient", f"{gradient(problem, s.factors, float(alpha)):.1e}"])


def gradient(problem: fm.Problem, factors: tuple[Array, ...], alpha: float) -> float:
    """Return the norm of the gradient of the objective in the factors over that of its part from the penalty."""
    A, (L, R) = problem.measurement, factors
    S = A.adjoint_operator(problem.data - A.forward_factors(L, R))
    prices = [2 * alpha * A.size * D.values[:, None] ** 2 for D in problem.metric]
    parts = (prices[0] * L, S @ R), (prices[1] * R, S.T @ L)
    return float(np.sqrt(sum(np.sum((p - q) ** 2) for p, q in parts) / sum(np.sum(p**2) for p, _ in parts)))


def main() -> None:
    """Print the requested tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the large solve alone")
    if parser.parse_args().large:
        large()
        return
    drawn = draw(SHAPE, ENTRIES, 10)
    sweeps(*drawn)
    print()
    loops(*drawn)


if __name__ == "__main__":
    main()
