"""MovieLens-100k by pairs: errors of held-out ratings over repeated folds, cmfrec, and published numbers.

python -m benchmarks.ratings                 five times five folds, every method
python -m benchmarks.ratings --store FILE    the same; finished fits are kept in FILE, and read from it
python -m benchmarks.ratings --nested        a strength for every split, from that split's training part
python -m benchmarks.ratings --optimum       the certified optimum of all ratings without offsets, and its time
python -m benchmarks.ratings --search        a grid search over the metric
python -m benchmarks.ratings --features      errors for films without ratings, with and without features
python -m benchmarks.ratings --published     the published split u1: its first 20 000 ratings are held out
python -m benchmarks.ratings --auto          the strength from the noise and held-out ratings, on one split

``--jobs N`` makes N fits at once (default: one for each processor).

The ratings are read from an installed recbole, which contains them for its own examples; they are never part of this
repository (terms of GroupLens).

Strengths are chosen on the training part of the first split, a fifth of which is held out. The grid is geometric, and
is extended until its best strength is not at an end. No split uses its own test fold for the choice; the test folds of
the other splits share ratings with the training part of the first, which `--nested` avoids.

Errors are root mean squared errors, with predictions clipped to 1 … 5. Training parts of different splits overlap, so
errors of splits are not independent. For n splits with deviation s two standard errors are given: s / √n, which ignores
this, and s √(1/n + n_test/n_train), which Nadeau and Bengio ("Inference for the generalization error", Machine Learning
52, 2003) found to be large enough for other ratings of the same kind.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold

import flatmin as fm
from benchmarks.markdown import line
from benchmarks.rating_methods import TOL, Method, features, methods, ratings
from flatmin._core.arrays import Array
from flatmin.estimators import PairRegressor

#: Root mean squared errors in the README of Surprise (https://github.com/NicolasHug/Surprise), five folds of its own.
PUBLISHED = {"Surprise: SVD": 0.934, "Surprise: k-nearest neighbours, baseline": 0.931, "Surprise: SVD++": 0.920}
#: Factor between neighbouring strengths of the grid, and the largest number of strengths.
RATIO, MOST = 1.2, 12
LOWEST, HIGHEST = 1.0, 5.0
FOLDS = 5
#: Size of the test part of the published split u1: 459 people and 1410 films.
U1 = 20_000

Split = tuple[Array, Array]
#: error, rank, gap, seconds of processor time
Found = dict[str, Any]


@dataclass
class Store:
    """Finished fits by their parameters; each is a line of a file, if there is one."""

    path: Path | None = None
    found: dict[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            for text in self.path.read_text().splitlines():
                name, found = json.loads(text)
                self.found[name] = found

    def keep(self, name: str, found: Found) -> None:
        self.found[name] = found
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps([name, found]) + "\n")


def key(method: Method, strength: float | None, split: str) -> str:
    shown = "" if strength is None else f"{strength:.6g}"
    return f"{fm.__version__} tol {TOL:g} | {method.name} | {shown} | {split}"


def error(predicted: Array, true: Array) -> float:
    return float(np.sqrt(np.mean((np.clip(predicted, LOWEST, HIGHEST) - true) ** 2)))


def fold(method: Method, strength: float | None, X: Array, y: Array, split: Split) -> Found:
    """Return the result of a method on a split."""
    training, held = split
    start = time.process_time()
    predicted, rank, gap = method.predict(strength or 0.0, X[training], y[training], X[held])
    seconds = time.process_time() - start
    return {
        "error": error(predicted, y[held]),
        "rank": int(rank),
        "gap": None if gap is None else abs(gap),
        "seconds": seconds,
    }


def chosen(
    method: Method, X: Array, y: Array, name: str, training: Array, known: dict[str, Found]
) -> tuple[float | None, dict[str, Found]]:
    """Return the best strength by a fifth of the training part of a split, and the fits.

    Strengths are added at the better end until the best of them has a weaker and a stronger neighbour.
    """
    if method.first is None:
        return None, {}
    inner = next(iter(KFold(FOLDS, shuffle=True, random_state=1).split(training)))
    split, fits, errors = (training[inner[0]], training[inner[1]]), dict[str, Found](), dict[int, float]()
    waiting = [0, 1, -1]
    while waiting and len(errors) < MOST:
        step = waiting.pop(0)
        strength = method.first * RATIO**step
        place = key(method, strength, f"{name}, a fifth of its training part")
        if place not in known:
            fits[place] = fold(method, strength, X, y, split)
        errors[step] = (fits | known)[place]["error"]
        best = min(errors, key=lambda step: errors[step])
        if not waiting:
            waiting = [step for step in (best - 1, best + 1) if step not in errors]
    if waiting:
        raise SystemExit(f"{method.name}: the best of {MOST} strengths is at an end of the grid")
    return method.first * RATIO**best, fits


def standard_errors(values: Array, folds: int) -> tuple[float, float]:
    """Return the standard error of a mean over repeated folds, uncorrected and corrected for their dependence."""
    n, deviation = len(values), float(np.std(values, ddof=1))
    return deviation / np.sqrt(n), deviation * np.sqrt(1 / n + 1 / (folds - 1))


def row(name: str, strengths: Iterable[float | None], found: list[Found], other: list[Found] | None) -> list[str]:
    """Return the cells of a method's row."""
    errors, used = np.array([one["error"] for one in found]), sorted({s for s in strengths if s is not None})
    cells = [name, " … ".join(f"{s:.3g}" for s in used[:: max(1, len(used) - 1)])]
    plain, corrected = standard_errors(errors, FOLDS)
    cells.append(f"{errors.mean():.4f} ± {plain:.4f} / {corrected:.4f}")
    if other is None:
        cells.append("")
    else:
        differences = errors - [one["error"] for one in other]
        plain, corrected = standard_errors(differences, FOLDS)
        cells.append(f"{differences.mean():+.4f} ± {plain:.4f} / {corrected:.4f}")
    gaps = [one["gap"] for one in found if one["gap"] is not None]
    ranks, seconds = [[one[name] for one in found] for name in ("rank", "seconds")]
    reach = f"{min(ranks)}" if min(ranks) == max(ranks) else f"{min(ranks)} … {max(ranks)}"
    return [*cells, f"{max(gaps):.0e}" if gaps else "", reach, f"{np.mean(seconds):.1f}"]


def compare(
    X: Array, y: Array, field: list[Method], splits: dict[str, Split], store: Store, jobs: int, nested: bool
) -> None:
    """Print the table of all methods, compared with the first."""
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    choosing = list(splits) if nested else [next(iter(splits))]
    strengths: dict[tuple[str, str], float | None] = {}

    def choose(method: Method, name: str) -> tuple[Method, str, float | None, dict[str, Found]]:
        return method, name, *chosen(method, X, y, name, splits[name][0], store.found)

    for method, name, strength, fits in parallel(delayed(choose)(m, name) for m in field for name in choosing):
        strengths[method.name, name] = strength
        for place, found in fits.items():
            store.keep(place, found)
    for method in field:
        for name in splits:
            strengths.setdefault((method.name, name), strengths[method.name, choosing[0]])

    def fit(method: Method, name: str) -> tuple[str, Found]:
        strength = strengths[method.name, name]
        return key(method, strength, name), fold(method, strength, X, y, splits[name])

    places = {(m.name, name): key(m, strengths[m.name, name], name) for m in field for name in splits}
    missing = [(m, name) for m in field for name in splits if places[m.name, name] not in store.found]
    for place, found in parallel(delayed(fit)(*one) for one in missing):
        store.keep(place, found)
    line(["fit", "strength", "error", "difference", "gap", "rank", "seconds"])
    line(["---"] * 7)
    first: list[Found] | None = None
    for method in field:
        found = [store.found[places[method.name, name]] for name in splits]
        line(row(method.name, [strengths[method.name, name] for name in splits], found, first))
        first = first or found
    for name, published in PUBLISHED.items():
        line([name, "", f"{published:.3f}", *[""] * 4])


def optimum(X: Array, y: Array) -> None:
    """Print the certified penalised optimum of all ratings, without offsets, at two strengths."""
    ids = [np.unique(index, return_inverse=True)[1] for index in X.T]
    shape = tuple(int(index.max()) + 1 for index in ids)
    problem = fm.Problem(fm.measurements.Entries(*ids, shape), y)
    line(["reg", "rank", "gap", "holds", "bound", "seconds"])
    line(["---"] * 6)
    for reg in (0.13, 0.08):
        start = time.perf_counter()
        solution = fm.flat_minimum(problem, alpha=reg * float(np.sqrt(np.prod(shape))) / 2, tol=1e-6)
        proof, seconds = solution.certificate, time.perf_counter() - start
        line([f"{reg:g}", solution.rank, f"{proof.relative_gap:.0e}", proof.holds, proof.bound_kind, f"{seconds:.1f}"])


def search(X: Array, y: Array) -> None:
    """Print the result of scikit-learn's grid search for the metric, at one strength."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    model: Any = PairRegressor(0.16, tol=TOL)
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


def sides(X: Array, y: Array) -> None:
    """Print the errors for films without ratings and for other held-out ratings, with and without features."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    people, films = features()
    parameters = {
        "none": {},
        "of films": {"column_features": films, "interactions": False},
        "of films and people": {"column_features": films, "row_features": people, "interactions": False},
        "of films, with slopes of people": {"column_features": films},
    }
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in parameters}
    rng = np.random.default_rng(0)
    order = rng.permutation(np.unique(X[:, 1]))
    for first in range(FOLDS):
        cold = np.isin(X[:, 1], order[first::FOLDS])
        warm = rng.permutation(np.flatnonzero(~cold))
        held, training = warm[: len(warm) // FOLDS], warm[len(warm) // FOLDS :]
        for name, given in parameters.items():
            model = PairRegressor(0.16, metric_power=0.5, tol=TOL, **given).fit(X[training], y[training])
            errors[name].append((error(model.predict(X[cold]), y[cold]), error(model.predict(X[held]), y[held])))
    line(["features", "cold films", "other ratings"])
    line(["---"] * 3)
    for name, found in errors.items():
        line([name, *(f"{value:.4f}" for value in np.mean(found, axis=0))])


def published(X: Array, y: Array) -> None:
    """Print errors on the published split u1, whose test part is the first 20 000 ratings of the published file."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    held, training = np.arange(U1), np.arange(U1, len(y))
    methods: dict[str, dict[str, Any]] = {
        "default arguments": {},
        "p = ½": {"metric_power": 0.5},
        "p = ½, alpha 0.16": {"metric_power": 0.5, "alpha": 0.16, "tol": TOL},
    }
    methods["the same, slopes of people"] = {**methods["p = ½, alpha 0.16"], "column_features": features()[1]}
    line(["fit", "error", "rank", "seconds"])
    line(["---"] * 4)
    for name, given in methods.items():
        start = time.process_time()
        model = PairRegressor(**given).fit(X[training], y[training])
        seconds = time.process_time() - start
        line([name, f"{error(model.predict(X[held]), y[held]):.4f}", model.rank_, f"{seconds:.0f}"])


def automatic(X: Array, y: Array, split: Split) -> None:
    """Print the result of the estimator with only the metric given."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    training, held = split
    start = time.process_time()
    model = PairRegressor(metric_power=0.5, tol=TOL).fit(X[training], y[training])
    print(f"{model}\nerror {error(model.predict(X[held]), y[held]):.4f}, {time.process_time() - start:.0f} seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--jobs", type=int, default=-1)
    for name in ("nested", "optimum", "search", "features", "published", "auto"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--methods", default="*", help="patterns of names, such as 'p = ½;cmfrec*'")
    asked = parser.parse_args()
    X, y = ratings()
    cut = RepeatedKFold(n_splits=FOLDS, n_repeats=asked.repeats, random_state=0)
    splits = {f"repetition {n // FOLDS}, fold {n % FOLDS}": split for n, split in enumerate(cut.split(X))}
    if asked.optimum:
        optimum(X, y)
    elif asked.search:
        search(X, y)
    elif asked.features:
        sides(X, y)
    elif asked.published:
        published(X, y)
    elif asked.auto:
        automatic(X, y, next(iter(splits.values())))
    else:
        patterns = asked.methods.split(";")
        field = [method for method in methods() if any(fnmatchcase(method.name, one) for one in patterns)]
        compare(X, y, field, splits, Store(asked.store), asked.jobs, asked.nested)


if __name__ == "__main__":
    main()
