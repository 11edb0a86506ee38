"""Overhead of ``MatrixCompletion.fit`` over its solver, for 100 000 cells of a matrix 1000 × 1000, at three alphas.

python -m benchmarks.fit_overhead
"""

from __future__ import annotations

import time

import numpy as np

import flatmin as fm
from benchmarks.markdown import line


def main(repetitions: int = 5) -> None:
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


if __name__ == "__main__":
    main()
