"""Prediction by an exact fit, the square-root rule, its refit and cross-validation, and the time of the folds.

python -m benchmarks.cross_validation [NAME …] [--draws N]     NAME is a part of the name of a setting; five draws each

Columns are medians of the error over that of the best alpha on the same grid, which is unknown in practice: of the
exact fit, of the penalised solution of alpha="auto" and of its refit, of cross-validation by the least error and by one
standard error, and of a refit at the alpha that cross-validation chose. Then follow the error of the best of all fits
of a fixed rank, started at the truth, the ranks of the two cross-validated solutions, and seconds of processor time of
alpha="auto" and of cross-validation.

python -m benchmarks.cross_validation --ratings     the time of a path in every fold of MovieLens-100k, from recbole
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np

import flatmin as fm
from benchmarks.noise import distance, least_squares
from benchmarks.report import line
from flatmin.families import Instance
from flatmin.solvers.alphas.cross_validation import cross_validate
from flatmin.solvers.alphas.path import flat_path
from flatmin.solvers.noise.refit import refit

LARGEST_RANK = 12


def falling(shape: tuple[int, int], exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Return a matrix whose singular values fall like ``j^-exponent``, with entries of about one."""
    d = min(shape)
    U, V = (np.linalg.qr(rng.standard_normal((n, d)))[0] for n in shape)
    s = np.arange(1.0, d + 1) ** -exponent
    return np.sqrt(np.prod(shape) / np.sum(s**2)) * (U * s) @ V.T


def completion(exponent: float | None, noise: float, seed: int) -> Instance:
    rng, shape = np.random.default_rng(seed), (60, 50)
    X = (
        rng.standard_normal((60, 3)) @ rng.standard_normal((3, 50))
        if exponent is None
        else falling(shape, exponent, rng)
    )
    rows, cols = np.divmod(rng.choice(X.size, 1200, replace=False), shape[1])
    b = X[rows, cols] + noise * np.std(X) * rng.standard_normal(1200)
    return Instance(fm.Problem(fm.measurements.Entries(rows, cols, shape), b), X)


def sensing(exponent: float | None, noise: float, seed: int) -> Instance:
    rng, shape = np.random.default_rng(seed), (40, 30)
    X = (
        rng.standard_normal((40, 2)) @ rng.standard_normal((2, 30))
        if exponent is None
        else falling(shape, exponent, rng)
    )
    A = fm.measurements.Dense(rng.standard_normal((600, *shape)))
    clean = A.forward(X)
    return Instance(fm.Problem(A, clean + noise * np.std(clean) * rng.standard_normal(600)), X)


#: The draw, the decay of the singular values (None: of low rank), and the noise over the data.
SETTINGS: Mapping[str, tuple[Callable[[float | None, float, int], Instance], float | None, float]] = {
    "completion, rank 3": (completion, None, 0.3),
    "completion, values j^-1.5": (completion, 1.5, 0.1),
    "completion, values j^-1": (completion, 1.0, 0.1),
    "completion, values j^-1, more noise": (completion, 1.0, 0.5),
    "sensing, rank 2": (sensing, None, 0.3),
    "sensing, values j^-1.5": (sensing, 1.5, 0.1),
    "sensing, values j^-1": (sensing, 1.0, 0.1),
    "sensing, values j^-1, more noise": (sensing, 1.0, 0.5),
}


def trial(instance: Instance, seed: int) -> dict[str, float]:
    problem, X = instance.problem, instance.truth

    def error(factors: tuple[np.ndarray, ...]) -> float:
        return distance(problem, factors, X)

    start = time.process_time()
    auto = fm.flat_minimum(problem, alpha="auto", seed=seed)
    seconds, start = time.process_time() - start, time.process_time()
    best = cross_validate(problem, seed=seed)
    cross_seconds = time.process_time() - start
    one = fm.flat_minimum(problem, alpha=best.alphas[best.position("one_standard_error")[1]])
    oracle = min(error(s.factors) for s in flat_path(problem, best.alphas, tol=1e-4).solutions)
    ranks = [error(least_squares(problem, X, rank)) for rank in range(1, LARGEST_RANK + 1)]
    return {
        "exact": error(fm.flat_minimum(problem, tol=1e-6, max_iter=300).factors) / oracle,
        "auto": error(auto.factors) / oracle,
        "auto, refit": error(auto.noise.refit) / oracle,
        "CV": error(best.solution.factors) / oracle,
        "CV, one s.e.": error(one.factors) / oracle,
        "CV, refit": error(refit(problem, best.solution)) / oracle,
        "best rank": min(ranks) / oracle,
        "rank": best.solution.rank,
        "rank, one s.e.": one.rank,
        "s, auto": seconds,
        "s, CV": cross_seconds,
    }


def ratings(n_jobs: int) -> None:
    """Print the time of ten alphas in five folds of MovieLens-100k, without the mean rating."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("recbole")
    if spec is None or spec.origin is None:
        raise SystemExit("recbole is not installed: pip install recbole==1.2.1 --no-deps")
    file = Path(spec.origin).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
    table = np.loadtxt(file, skiprows=1, usecols=(0, 1, 2))
    (users, u), (items, i) = (np.unique(table[:, side], return_inverse=True) for side in (0, 1))
    A, y = fm.measurements.Entries(u, i, (len(users), len(items))), table[:, 2] - table[:, 2].mean()
    start, processor = time.perf_counter(), time.process_time()
    line(["alpha", "held-out root mean square", "mean rank", "seconds", "of processor time"])
    line(["---"] * 5)

    def show(row: dict[str, float]) -> None:
        spent = time.perf_counter() - start, time.process_time() - processor
        cells = [f"{row['alpha']:.1f}", f"{row['error'] ** 0.5:.4f}", f"{row['rank']:.1f}"]
        line([*cells, *(f"{s:.0f}" for s in spent)])

    found = cross_validate(fm.Problem(A, y), n_alphas=10, ratio=0.15, tol=1e-6, n_jobs=n_jobs, callback=show)
    solution, spent = found.solution, time.process_time() - processor
    gap = solution.certificate.relative_gap
    print(f"chosen {found.alpha:.1f}: rank {solution.rank}, gap {gap:.1e}, all in all {spent:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--ratings", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.ratings:
        ratings(given.jobs)
        return
    titled = False
    for name, (make, exponent, noise) in SETTINGS.items():
        if given.names and not any(part in name for part in given.names):
            continue
        rows = [trial(make(exponent, noise, seed), seed) for seed in range(given.draws)]
        if not titled:
            line(["data", *rows[0]])
            line(["---"] * (len(rows[0]) + 1))
            titled = True
        medians = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
        line(
            [
                name,
                *(
                    f"{value:.0f}" if "rank" in key and key != "best rank" else f"{value:.2f}"
                    for key, value in medians.items()
                ),
            ]
        )


if __name__ == "__main__":
    main()
