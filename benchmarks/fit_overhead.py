"""Overhead of ``MatrixCompletion.fit`` over its solver, for 100 000 cells of a matrix 1000 × 1000, at three alphas.

python -m benchmarks.fit_overhead
python -m benchmarks.fit_overhead --narrow      seconds of ``MatrixCompletion().fit`` for tables 5000 × 50
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import flatmin as fm
from benchmarks.markdown import line

#: Rank, level of the noise and share of observed cells of narrow tables.
NARROW = ((2, 1.0, 0.9), (6, 0.5, 0.8), (6, 0.3, 0.7), (4, 0.5, 0.6), (8, 1.0, 0.5), (3, 0.5, 0.4))


def narrow_table(rank: int, noise: float, share: float, shape: tuple[int, int] = (5000, 50)) -> np.ndarray:
    """Return a low-rank table with noise and missing cells."""
    rng = np.random.default_rng(0)
    d1, d2 = shape
    truth = rng.standard_normal((d1, rank)) @ rng.standard_normal((rank, d2))
    return np.where(rng.random(shape) < share, truth + noise * rng.standard_normal(shape), np.nan)


def narrow() -> None:
    """Print the seconds of processor time of fits with every default to narrow tables, after loops are compiled."""
    fm.MatrixCompletion().fit(narrow_table(2, 0.5, 0.7, (1500, 50)))
    line(["rank", "noise", "observed", "seconds", "chosen"])
    line(["---"] * 5)
    for rank, noise, share in NARROW:
        start = time.process_time()
        found = fm.MatrixCompletion().fit(narrow_table(rank, noise, share))
        seconds = time.process_time() - start
        line([str(rank), f"{noise:g}", f"{share:.0%}", f"{seconds:.1f}", found.relaxation_.chosen])


def overhead(repetitions: int = 5) -> None:
    """Print the seconds of processor time of a fit and of the solver alone."""
    rng = np.random.default_rng(0)
    d, m = 1000, 100_000
    truth = rng.standard_normal((d, 5)) @ rng.standard_normal((5, d))
    rows, columns = np.divmod(np.sort(rng.choice(d * d, m, replace=False)), d)
    values = truth[rows, columns] + 0.1 * rng.standard_normal(m)
    table = np.full((d, d), np.nan)
    table[rows, columns] = values
    entries = fm.measurements.Entries(rows, columns, (d, d))
    line(["alpha", "flat_minimum", "fit", "overhead"])
    line(["---"] * 4)
    for alpha in (0.3, 0.1, "auto"):
        strength = alpha if isinstance(alpha, str) else alpha * d / 2
        estimator = fm.MatrixCompletion(alpha, offsets="none", scale=False, refit=False)
        core, fit = [], []
        for _ in range(repetitions):
            start = time.process_time()
            fm.flat_minimum(fm.Problem(entries, values), alpha=strength)
            core.append(time.process_time() - start)
            start = time.process_time()
            estimator.fit(table)
            fit.append(time.process_time() - start)
        least, ours = min(core), min(fit)
        line([str(alpha), f"{least:.2f} s", f"{ours:.2f} s", f"{ours / least - 1:+.1%}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--narrow", action="store_true")
    narrow() if parser.parse_args().narrow else overhead()


if __name__ == "__main__":
    main()
