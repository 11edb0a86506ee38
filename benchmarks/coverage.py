"""Coverage of prediction intervals: the share of hidden cells inside them, and in the worst part of each table.

    python -m benchmarks.coverage [--draws N] [--settings NAME…] [--jobs N]

Cells are hidden at random ("MCAR"), with a probability that follows a column that stays observed ("MAR"), or with one
that follows the hidden values themselves ("MNAR"). `MatrixCompletion()` is fitted to the other cells, and its intervals
at 80, 90 and 95 % are compared with the hidden values, pooled over ten draws, or more for small tables. Draws of real
tables differ in the cells that are hidden, draws of synthetic tables also in the values.

Slices are fifths by size of the prediction, by leverage and by the number of observed cells of the row, and single
columns; those with fewer than 150 hidden cells are left out. The worst of some twenty slices is below 90 % by chance
alone. So the worst slice of ideal intervals is simulated, each of which contains its cell with a probability of 0.9. A
cell of a real table has one outcome in all draws, because its value is the same, and more draws do not help then: a
column of 30 rows has 30 outcomes. The mean of simulated worst slices and their fifth percentile stand beside the worst
slice. Ratings of MovieLens-100k are those of an installed recbole.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import special

from benchmarks.imputation import TABLES, load
from benchmarks.markdown import line
from benchmarks.rating_methods import ratings
from flatmin import MatrixCompletion, PairRegressor
from flatmin._core.arrays import Array

LEVELS = (0.8, 0.9, 0.95)
#: Share of the cells that are hidden.
HOLES = 0.3
#: The smallest number of hidden cells of a slice.
SLICE_CELLS = 150
#: Number of simulations of ideal intervals.
SIMULATIONS = 200
#: Draws go on until this number of cells was hidden.
LEAST_CELLS = 1500
#: Tables of `benchmarks.imputation`; the others have too few rows for slices.
REAL = (
    *("airquality", "attitude", "Boston", "cpus", "crabs", "diabetes", "iris", "LifeCycleSavings", "mtcars"),
    *("Prestige", "swiss", "USArrests", "wine", "breast-cancer", "Cars93", "fgl", "quakes", "state.x77", "UScereal"),
)
SYNTHETIC = ("normal", "heavy tails", "uneven columns", "uneven rows", "counts")


@dataclass(frozen=True)
class Setting:
    """A table and a way to hide its cells."""

    table: str
    kind: str
    holes: float = HOLES

    @property
    def name(self) -> str:
        return f"{self.table}, {self.kind} {self.holes:.0%}"


def settings() -> list[Setting]:
    """Return all settings with tables."""
    tables = (*REAL, *SYNTHETIC)
    found = [Setting(table, "MCAR") for table in tables]
    found += [Setting(table, "MCAR", holes) for table in ("wine", "diabetes") for holes in (0.1, 0.5)]
    some = ("Boston", "diabetes", "wine", "Prestige", "iris", "normal", "uneven columns")
    return found + [Setting(table, kind) for kind in ("MAR", "MNAR") for table in some]


def synthetic(kind: str, rng: np.random.Generator) -> Array:
    """Return a table of rank three with noise of half its standard deviation, or of counts."""
    n, d = 200, 25
    truth = rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)) / np.sqrt(3)
    if kind == "counts":
        return rng.poisson(np.exp(1.5 + 0.5 * truth)).astype(float)
    noise = rng.standard_t(3, (n, d)) / np.sqrt(3) if kind == "heavy tails" else rng.standard_normal((n, d))
    spread = {"uneven columns": (1, d), "uneven rows": (n, 1)}.get(kind)
    return truth + 0.5 * noise * (1.0 if spread is None else np.exp(0.5 * rng.standard_normal(spread)))


def table_of(name: str, rng: np.random.Generator) -> Array:
    """Return a table; missing cells are NaN."""
    sources = TABLES["development"] | TABLES["judged"]
    return load(sources[name]) if name in sources else synthetic(name, rng)


def hidden(table: Array, kind: str, holes: float, rng: np.random.Generator) -> Array:
    """Return which observed cells are hidden. With MAR the cells of the most complete column are never hidden."""
    seen, draws = ~np.isnan(table), rng.random(table.shape)
    if kind == "MCAR":
        return seen & (draws < holes)
    standard = (table - np.nanmean(table, axis=0)) / np.maximum(np.nanstd(table, axis=0), 1e-300)
    guide = int(np.argmax(seen.sum(axis=0)))
    pulled = 1.5 * np.nan_to_num(standard if kind == "MNAR" else standard[:, [guide]])
    chance = special.expit(pulled + np.log(holes / (1 - holes)))
    out = seen & (draws < chance * holes / chance.mean())
    if kind == "MAR":
        out[:, guide] = False
    return out


@dataclass(frozen=True)
class Draw:
    """Which hidden cells are covered at each level, and the slices that they belong to, as arrays by name.

    ``cells`` are numbers of the hidden cells. Cells of several draws with equal numbers have the same value.
    """

    inside: Array
    cells: Array
    slices: dict[str, Array]
    seconds: tuple[float, float]


def draw(setting: Setting, seed: int) -> Draw:
    """Hide cells, fit the others, and judge the intervals of the hidden ones."""
    rng = np.random.default_rng(seed)
    table = table_of(setting.table, rng)
    i, j = np.nonzero(gone := hidden(table, setting.kind, setting.holes, rng))
    known = np.where(gone, np.nan, table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        model = MatrixCompletion().fit(known)
        between = time.process_time()
        ends = [model.predict_interval(i, j, confidence_level=level) for level in LEVELS]
        after = time.process_time()
    inside = np.array([(low <= table[i, j]) & (table[i, j] <= high) for low, high in ends])
    fit, rows = model._cells, (~np.isnan(known)).sum(axis=1)
    numbers = {"size": np.abs(fit.at(i, j)), "leverage": fit.leverages(i, j), "cells of the row": rows[i]}
    fifths = {name: np.searchsorted(np.quantile(x, [0.2, 0.4, 0.6, 0.8]), x) for name, x in numbers.items()}
    cells = i * table.shape[1] + j + (seed * table.size if setting.table in SYNTHETIC else 0)
    return Draw(inside, cells, fifths | {"column": j}, (between - start, after - between))


@dataclass(frozen=True)
class Slices:
    """The slices of several draws with enough hidden cells: their names, and the position of the slice of every cell.

    There is a row of positions for each kind of slice, and the last position stands for small slices.
    """

    names: list[str]
    positions: Array

    @classmethod
    def from_draws(cls, draws: list[Draw]) -> "Slices":
        """Number the slices."""
        names, rows = [], []
        for kind in draws[0].slices:
            values, own = np.unique(np.concatenate([one.slices[kind] for one in draws]), return_inverse=True)
            large = np.bincount(own) >= SLICE_CELLS
            rows.append(np.where(large, len(names) + np.cumsum(large) - 1, -1)[own])
            names += [f"{kind} {value}" for value in values[large]]
        return cls(names, np.where(np.stack(rows) < 0, len(names), np.stack(rows)))

    def worst(self, inside: Array) -> tuple[float, str]:
        """Return the lowest share of a slice in percent, and its name; NaN if all slices are small."""
        if not self.names:
            return np.nan, ""
        n = len(self.names)
        sums = sum(np.bincount(row, inside, n + 1)[:n] for row in self.positions)
        shares = 100 * sums / sum(np.bincount(row, minlength=n + 1)[:n] for row in self.positions)
        return float(shares.min()), self.names[int(np.argmin(shares))]

    def ideal(self, draws: list[Draw]) -> Array:
        """Return simulations of the worst slice of ideal intervals at 90 %."""
        numbers, cells = np.unique(np.concatenate([one.cells for one in draws]), return_inverse=True)
        rng = np.random.default_rng(0)
        return np.array([self.worst((rng.random(len(numbers)) < 0.9)[cells])[0] for _ in range(SIMULATIONS)])


def simulated_ratings(seed: int) -> tuple[Array, Array]:
    """Return 300 000 pairs and whole numbers from 1 to 5: offsets, a matrix of rank eight, and noise, rounded."""
    (n, d), k, m, rng = (3000, 2000), 8, 300_000, np.random.default_rng(seed)
    pairs = np.stack(np.divmod(rng.choice(n * d, m, replace=False), d), axis=1)
    L, R = (0.35 * rng.standard_normal((size, k)) for size in (n, d))
    offsets = 0.4 * rng.standard_normal(n)[pairs[:, 0]] + 0.5 * rng.standard_normal(d)[pairs[:, 1]]
    products = np.einsum("mk,mk->m", L[pairs[:, 0]], R[pairs[:, 1]])
    return pairs, np.clip(np.round(3.6 + offsets + products + 0.85 * rng.standard_normal(m)), 1, 5)


def pairs_draw(source: Callable[[int], tuple[Array, Array]], seed: int) -> Draw:
    """Judge the intervals of a fifth of ratings."""
    X, y = source(seed)
    gone = np.random.default_rng(seed).random(len(y)) < 0.2
    gone &= np.isin(X[:, 0], X[~gone, 0]) & np.isin(X[:, 1], X[~gone, 1])
    start = time.process_time()
    model = PairRegressor(clip=(1, 5)).fit(X[~gone], y[~gone])
    between = time.process_time()
    ends = [model.predict_interval(X[gone], confidence_level=level) for level in LEVELS]
    after = time.process_time()
    inside = np.array([(low <= y[gone]) & (y[gone] <= high) for low, high in ends])
    i, j = model._ids.codes(X[gone])
    rows, columns = (np.bincount(side, minlength=side.max() + 1) for side in model._cells.rows.positions)
    numbers = {"size": model._at(i, j), "cells of the row": rows[i], "cells of the column": columns[j]}
    fifths = {name: np.searchsorted(np.quantile(x, [0.2, 0.4, 0.6, 0.8]), x) for name, x in numbers.items()}
    return Draw(inside, np.flatnonzero(gone), fifths | {"row": i}, (between - start, after - between))


def _cells(draws: list[Draw]) -> int:
    return sum(one.inside.shape[1] for one in draws)


def report(name: str, kind: str, draws: list[Draw]) -> tuple[str, float, float]:
    """Print a row of the table, and return the kind, the coverage at 90 % and that of the worst slice."""
    inside = 100 * np.concatenate([one.inside for one in draws], axis=1).mean(axis=1)
    slices = Slices.from_draws(draws)
    least, where = slices.worst(np.concatenate([one.inside[1] for one in draws]))
    fit, interval = np.mean([one.seconds for one in draws], axis=0)
    ideal = [] if np.isnan(least) else slices.ideal(draws)
    shown = (
        [f"{least:.1f} ({where})", f"{np.mean(ideal):.1f} ({np.quantile(ideal, 0.05):.1f})"] if len(ideal) else ["", ""]
    )
    line([name, _cells(draws), *(f"{x:.1f}" for x in inside), *shown, f"{fit:.1f} + {interval:.1f}"])
    return kind, float(inside[1]), least


def rows(draws: int, wanted: list[str], jobs: int) -> Iterator[tuple[str, float, float]]:
    """Judge the wanted settings, or all, one after another."""
    work: list[tuple[str, str, Callable[[int], Any], int]] = [
        (one.name, one.kind, lambda seed, one=one: draw(one, seed), draws) for one in settings()
    ]
    sources: dict[str, Callable[[int], tuple[Array, Array]]] = {
        "MovieLens-100k, MCAR 20%": lambda _: ratings(),
        "simulated ratings, MCAR 20%": simulated_ratings,
    }
    work += [(name, "MCAR", partial(pairs_draw, source), draws) for name, source in sources.items()]
    for name, kind, judge, count in work:
        if wanted and not any(name.startswith(part) for part in wanted):
            continue
        try:
            found: list[Draw] = []
            while len(found) < count or _cells(found) < LEAST_CELLS:
                found += Parallel(n_jobs=jobs)(delayed(judge)(seed) for seed in range(len(found), len(found) + count))
        except SystemExit as missing:
            print(f"{name} is left out: {missing}")
            continue
        yield report(name, kind, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--settings", nargs="*", default=[], help="the beginnings of names")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    line(
        [
            "setting",
            "hidden cells",
            "80 %",
            "90 %",
            "95 %",
            "worst slice at 90 %",
            "if ideal",
            "seconds: fit + intervals",
        ]
    )
    line(["---"] * 8)
    found = list(rows(arguments.draws, arguments.settings, arguments.jobs))
    for kinds in (("MCAR", "MAR"), ("MNAR",)):
        coverage = np.array([total for kind, total, _ in found if kind in kinds])
        slices = np.array([least for kind, _, least in found if kind in kinds and not np.isnan(least)])
        if coverage.size and slices.size:
            print(
                f"{' and '.join(kinds)}: from {coverage.min():.1f} to {coverage.max():.1f}; lowest slice "
                f"{slices.min():.1f}; {np.count_nonzero(slices < 83)} of {len(slices)} settings have one below 83"
            )


if __name__ == "__main__":
    main()
