"""MovieLens-100k by triples: errors of held-out ratings over five folds, beside figures that others published.

python -m benchmarks.ratings [--folds N]     seven minutes of processor time
python -m benchmarks.ratings --search        a grid search over the metric, two minutes
python -m benchmarks.ratings --auto          the strength from the noise and held-out ratings, on one fold, two minutes

The ratings are read from an installed recbole, which carries them for examples of its own; they are never part of this
repository (terms of GroupLens).

Columns: the strength, for each metric that which was best on the first fold of a few; the root mean squared error of
ratings held out, predictions clipped to 1 … 5, and its standard error over folds; by how much it differs from that of
the row with the same metric or, for the metrics, of p = ½, and the standard error of the difference; the largest
relative duality gap; the rank; seconds of processor time a fold.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

import flatmin as fm
from benchmarks.report import line
from flatmin.estimators import MatrixCompletion
from flatmin.estimators._ids import PairIds
from flatmin.metric import Array
from flatmin.solvers.offsets import OffsetModel

#: Root mean squared errors in the README of Surprise (https://github.com/NicolasHug/Surprise), five folds of its own.
PUBLISHED = {"Surprise: SVD": 0.934, "Surprise: k-nearest neighbours, baseline": 0.931, "Surprise: SVD++": 0.920}
#: Strengths that are tried on the first fold, the middle ones of which were best.
STRENGTHS = {0.0: (0.25, 0.2, 0.16), 0.5: (0.2, 0.16, 0.13), 1.0: (0.15, 0.12, 0.1)}
#: The relative gap of a solve: errors do not change in the fifth digit below it.
TOL = 1e-3
LOWEST, HIGHEST = 1.0, 5.0

#: Training pairs, training values and held-out pairs to predictions, with the rank and the gap.
Method = Callable[[Array, Array, Array], tuple[Array, int, float]]


def ratings() -> tuple[Array, Array]:
    """Return pairs (user, film) and their ratings."""
    try:
        found = [f for f in files("recbole") or [] if str(f).endswith("ml-100k/ml-100k.inter")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise SystemExit("the ratings are read from an installed recbole: pip install --no-deps recbole")
    table = np.loadtxt(found[0].locate(), skiprows=1, usecols=(0, 1, 2))
    return table[:, :2].astype(int), table[:, 2]


def joint(alpha: float, power: float, offsets: str = "both") -> Method:
    """Return the estimator as it is."""

    def run(X: Array, y: Array, held: Array) -> tuple[Array, int, float]:
        model = MatrixCompletion(alpha, input="triples", metric_power=power, offsets=offsets, tol=TOL).fit(X, y)
        return model.predict(held), model.rank_, model.certificate_.relative_gap

    return run


def offsets_first(alpha: float, power: float) -> Method:
    """Return a fit of offsets, and then one of a matrix to what they leave."""

    def run(X: Array, y: Array, held: Array) -> tuple[Array, int, float]:
        ids = PairIds.of(X)
        i, j = ids.codes(X)
        entries = fm.measurements.Entries(i, j, (len(ids.row_ids), len(ids.column_ids)))
        offsets = OffsetModel.estimated(entries, y).fit(y)
        matrix = MatrixCompletion(alpha, input="triples", metric_power=power, offsets="none", tol=TOL)
        matrix.fit(X, y - offsets.at(i, j))
        predicted = matrix.predict(held) + offsets.at(*ids.codes(held))
        return predicted, matrix.rank_, matrix.certificate_.relative_gap

    return run


def error(predicted: Array, true: Array) -> float:
    return float(np.sqrt(np.mean((np.clip(predicted, LOWEST, HIGHEST) - true) ** 2)))


def fold(method: Method, X: Array, y: Array, split: tuple[Array, Array]) -> dict[str, float]:
    training, held = split
    start = time.process_time()
    predicted, rank, gap = method(X[training], y[training], X[held])
    seconds = time.process_time() - start
    return {"error": error(predicted, y[held]), "rank": rank, "gap": abs(gap), "seconds": seconds}


def row(name: str, alpha: str, found: list[dict[str, float]], other: list[dict[str, float]] | None) -> None:
    errors = np.array([one["error"] for one in found])
    spread = errors.std(ddof=1) / np.sqrt(len(errors))
    cells = [name, alpha, f"{errors.mean():.4f} ± {spread:.4f}"]
    if other is None:
        cells.append("")
    else:
        difference = errors - [one["error"] for one in other]
        cells.append(f"{difference.mean():+.4f} ± {difference.std(ddof=1) / np.sqrt(len(errors)):.4f}")
    ranks, seconds = [np.mean([one[key] for one in found]) for key in ("rank", "seconds")]
    line([*cells, f"{max(one['gap'] for one in found):.0e}", f"{ranks:.0f}", f"{seconds:.0f}"])


def compare(X: Array, y: Array, splits: list[tuple[Array, Array]]) -> None:
    """Print the table of all methods."""
    line(["fit", "alpha", "error", "difference", "gap", "rank", "seconds"])
    line(["---"] * 7)
    row("offsets alone", "", [fold(joint(10.0, 1.0), X, y, split) for split in splits], None)
    best, found = {}, {}
    for power in (0.5, 0.0, 1.0):
        first = {alpha: fold(joint(alpha, power), X, y, splits[0]) for alpha in STRENGTHS[power]}
        best[power] = alpha = min(first, key=lambda alpha: first[alpha]["error"])
        found[power] = [first[alpha], *(fold(joint(alpha, power), X, y, split) for split in splits[1:])]
        row(f"p = {power:g}", f"{alpha:g}", found[power], None if power == 0.5 else found[0.5])
    alpha = best[0.5]
    for name, method in {
        "p = 0.5, offsets first": offsets_first(alpha, 0.5),
        "p = 0.5, a constant only": joint(alpha, 0.5, "constant"),
    }.items():
        row(name, f"{alpha:g}", [fold(method, X, y, split) for split in splits], found[0.5])
    for name, published in PUBLISHED.items():
        line([name, "", f"{published:.3f}", *[""] * 4])


def search(X: Array, y: Array) -> None:
    """Print what scikit-learn's grid search finds for the metric, at one strength."""
    model: Any = MatrixCompletion(0.16, input="triples", tol=TOL)
    grid = GridSearchCV(
        model,
        {"metric_power": [0.0, 0.5, 1.0]},
        scoring="neg_root_mean_squared_error",
        cv=KFold(3, shuffle=True, random_state=0),
        refit=False,
    ).fit(X, y)
    print("\nGridSearchCV over metric_power, alpha 0.16, three folds:\n")
    line(["metric_power", "error", "seconds"])
    line(["---"] * 3)
    results = grid.cv_results_
    for power, score, seconds in zip(
        results["param_metric_power"], results["mean_test_score"], results["mean_fit_time"], strict=True
    ):
        line([f"{power:g}", f"{-score:.4f}", f"{seconds:.0f}"])
    print(f"\nbest: {grid.best_params_}")


def automatic(X: Array, y: Array, split: tuple[Array, Array]) -> None:
    """Print what the estimator finds that is told nothing."""
    training, held = split
    start = time.process_time()
    model = MatrixCompletion(input="triples", metric_power=0.5, tol=TOL).fit(X[training], y[training])
    print(f"{model}\nerror {error(model.predict(X[held]), y[held]):.4f}, {time.process_time() - start:.0f} seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--auto", action="store_true")
    asked = parser.parse_args()
    X, y = ratings()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is a column
    splits = list(KFold(asked.folds, shuffle=True, random_state=0).split(X))
    if asked.search:
        search(X, y)
    elif asked.auto:
        automatic(X, y, splits[0])
    else:
        compare(X, y, splits)


if __name__ == "__main__":
    main()
