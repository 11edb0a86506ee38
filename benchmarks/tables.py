"""Holes in tables: MatrixCompletion beside what else fills them.

python -m benchmarks.tables [NAME …] [--seeds N] [--only METHOD …] [--holes SHARE …]       NAME is breast-cancer, wine,
diabetes or digits (which takes an hour with three seeds, the default)
python -m benchmarks.tables overhead       what `fit` takes beside its solver, for 100 000 cells of a matrix 1000 × 1000

Of scikit-learn's tables 10, 30 and 50 % of the cells are hidden completely at random. The error is the root mean
square over the hidden cells of what is filled in less the truth, in units of each column's standard deviation; the mean
over seeds is shown, and seconds of processor time of ``fit_transform``. scikit-learn's imputers are shown with their
default arguments, and for columns that were scaled to standard deviation 1 (marked *). MatrixCompletion has its default
arguments, MatrixCompletionCV the flat metric alone: cells are hidden evenly, so that the others do the same, at three
times the cost. ``alpha=0.02`` is MatrixCompletion(0.02, tol=1e-4), without any search. fancyimpute is asked where it is
installed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

import flatmin as fm
from benchmarks.report import line
from flatmin import MatrixCompletion, MatrixCompletionCV
from flatmin.metric import Array

Imputer = Callable[[Array], Array]

TABLES: Mapping[str, Callable[[], Any]] = {
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
}
HOLES = (0.1, 0.3, 0.5)


def scaled(imputer: Any) -> Imputer:
    """Return an imputer for columns of standard deviation 1, whose answer is in the user's units."""

    def fill(table: Array) -> Array:
        units = StandardScaler().fit(table)
        return np.asarray(units.inverse_transform(imputer.fit_transform(units.transform(table))))

    return fill


def soft_impute(table: Array) -> Array:
    """Fill in by fancyimpute, in whose version 0.7.0 an argument has a name that scikit-learn has given up."""
    from fancyimpute import SoftImpute, soft_impute, solver

    for module in (solver, soft_impute):
        module.check_array = lambda X, force_all_finite=True: check_array(X, ensure_all_finite=force_all_finite)
    return np.asarray(scaled(SoftImpute(verbose=False))(table))


METHODS: Mapping[str, Imputer] = {
    "means": SimpleImputer().fit_transform,
    "KNN": KNNImputer().fit_transform,
    "KNN*": scaled(KNNImputer()),
    "Iterative": IterativeImputer(random_state=0).fit_transform,
    "Iterative*": scaled(IterativeImputer(random_state=0)),
    "SoftImpute*": soft_impute,
    "alpha=0.02": MatrixCompletion(0.02, tol=1e-4).fit_transform,
    "MatrixCompletion": MatrixCompletion().fit_transform,
    "MatrixCompletionCV": MatrixCompletionCV(metric_powers=1.0).fit_transform,
}
OURS = ("alpha=0.02", "MatrixCompletion", "MatrixCompletionCV")


def case(name: str, share: float, seed: int) -> tuple[Array, Array]:
    """Return a table, and where it is hidden."""
    table = np.asarray(TABLES[name]().data, dtype=float)
    return table, np.random.default_rng(seed).random(table.shape) < share


def error(table: Array, filled: Array, hidden: Array) -> float:
    spread = table.std(axis=0)
    return float(np.sqrt(np.mean((((filled - table) / np.where(spread > 0, spread, 1))[hidden]) ** 2)))


def measured(method: Imputer, name: str, share: float, seeds: int) -> tuple[float, float] | None:
    """Return mean error and seconds, None for what is not installed or does not run."""
    errors, seconds = [], []
    for seed in range(seeds):
        table, hidden = case(name, share, seed)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                filled = method(np.where(hidden, np.nan, table))
            except (ImportError, TypeError, ValueError):
                return None
        seconds.append(time.process_time() - start)
        errors.append(error(table, filled, hidden))
    return float(np.mean(errors)), float(np.mean(seconds))


def tables(names: list[str], shares: list[float], seeds: int, chosen: Mapping[str, Imputer]) -> None:
    """Print errors and times, and who is better where."""
    found: dict[tuple[str, str, float], tuple[float, float] | None] = {}
    line(["table", "holes", *chosen])
    line(["---"] * (2 + len(chosen)))
    for name in names:
        for share in shares:
            for method, imputer in chosen.items():
                found[method, name, share] = measured(imputer, name, share, seeds)
            cells = [found[method, name, share] for method in chosen]
            shown = ["—" if cell is None else f"{cell[0]:.3f} ({cell[1]:.1f} s)" for cell in cells]
            line([name, f"{share:.0%}", *shown])
    print()
    for ours in (method for method in OURS if method in chosen):
        for theirs in (method for method in chosen if method not in OURS):
            pairs = [(found[ours, *key], found[theirs, *key]) for key in ((n, s) for n in names for s in shares)]
            known = [(a[0], b[0]) for a, b in pairs if a is not None and b is not None]
            wins = sum(a <= b for a, b in known)
            print(f"{ours}: at least as good as {theirs} in {wins} of {len(known)}")


def overhead(repetitions: int = 5) -> None:
    """Print the seconds of a fit and of the solver alone, at three strengths."""
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
        estimator = MatrixCompletion(alpha, offsets="none", scale=False, refit=False)
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
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--holes", nargs="*", type=float, default=list(HOLES), metavar="SHARE")
    options = parser.parse_args()
    if options.names == ["overhead"]:
        overhead()
        return
    unknown = set(options.names) - set(TABLES)
    if unknown:
        parser.error(f"no table is called {', '.join(sorted(unknown))}, expected {', '.join(TABLES)} or overhead")
    tables(options.names or list(TABLES), options.holes, options.seeds, {name: METHODS[name] for name in options.only})


if __name__ == "__main__":
    main()
