"""Overhead of a sweep per cell, cost of other ways to keep results, and the recovery threshold of Gaussian sensing.

python -m benchmarks.sweeps [--cells N] [--dask] [--others]     milliseconds per cell, of cells that do nothing
python -m benchmarks.sweeps --boundary STORE                    the boundary of Gaussian sensing and its prediction

``--dask`` adds a local cluster of two workers. ``--others`` adds joblib.Memory, Optuna's SQLite storage and DuckDB, if
they are installed, each with one result per transaction. ``--boundary`` runs the sensing panel of figure-3 adaptively,
and keeps it in STORE.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from flatmin.lab import (
    Adaptive,
    DaskCluster,
    PhaseMap,
    Processes,
    Recipe,
    Serial,
    Store,
    recipes,
    statistical_dimension,
    sweep,
)
from flatmin.lab.runs.executors import Executor

ABOUT = """Cells that do nothing

Claim: the runner needs less than 2 ms a cell.

Refuted by: a larger number.
"""


def nothing(parameters, seed):
    return {"value": parameters["a"], "success": True}


def milliseconds(place: Executor, count: int) -> tuple[float, float]:
    """Return the time of a cell once all processes work, and that of reading a finished sweep."""
    recipe = Recipe("nothing", ABOUT, nothing, grid=[{"a": range(count)}], repetitions=1)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "trials.db") as store:
        sweep(recipe, store, executor=place, callback=lambda _: times.append(time.perf_counter()))
        start = time.perf_counter()
        sweep(recipe, store, executor=place)
        resumed = time.perf_counter() - start
    tenth = count // 10
    return 1e3 * (times[-1] - times[tenth]) / (count - 1 - tenth), 1e3 * resumed / count


@contextmanager
def cluster() -> Iterator[DaskCluster]:
    from distributed import LocalCluster

    workers = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with workers, closing(DaskCluster(workers.scheduler_address)) as place:
        yield place


def by_memory(folder: str, count: int) -> None:
    import joblib

    kept = joblib.Memory(folder, verbose=0).cache(nothing)
    for a in range(count):
        kept({"a": a}, a)


def by_optuna(folder: str, count: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{folder}/study.db")
    for a in range(count):
        trial = study.ask({"a": optuna.distributions.IntDistribution(0, count)})
        trial.set_user_attr("value", nothing({"a": a}, a)["value"])
        study.tell(trial, 0.0)


def by_duckdb(folder: str, count: int) -> None:
    import duckdb

    database = duckdb.connect(f"{folder}/trials.duckdb")
    database.execute("CREATE TABLE trials (a INTEGER PRIMARY KEY, value INTEGER)")
    for a in range(count):
        database.execute("INSERT INTO trials VALUES (?, ?)", (a, nothing({"a": a}, a)["value"]))
    database.close()


def another(keep: Callable[[str, int], None], count: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        try:
            keep(folder, count)
        except ImportError as error:
            return f"not installed: {error.name}"
        return f"{1e3 * (time.perf_counter() - start) / count:6.2f}"


def boundary(file: str) -> None:
    """Print the number of measurements at which recovery begins, with its band, and the statistical dimension."""
    whole = recipes.find("figure-3")
    cells = [cell for cell in whole.cells if cell["panel"] == "sensing"]
    recipe = replace(whole, grid=[{name: [value] for name, value in cell.items()} for cell in cells])
    with Store(file) as store:
        results = sweep(recipe, store, plan=Adaptive(recipe)).results
    print(f"{len(results)} of {len(cells) * recipe.repetitions} trials of the full grid")
    for column in PhaseMap(recipe, results).columns:
        found, at = column.posterior.boundary(), column.parameters
        m, low, high = (column.scale * c for c in (found.value, found.low, found.high))
        predicted, error = statistical_dimension((at["d"], at["d"]), at["rank"])
        inside = "inside" if low <= predicted <= high else "OUTSIDE"
        print(
            f"{at['method']:<8} d {at['d']:<3} m* {m:4.0f}, band {low:4.0f} to {high:4.0f}; c {found.value:.2f}; "
            f"predicted {predicted:4.0f} ± {error:.1f}: {inside}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=2000, metavar="N")
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--boundary", metavar="STORE")
    chosen = parser.parse_args()
    if chosen.boundary:
        boundary(chosen.boundary)
        return
    for name, place in (("this process", Serial()), ("two processes", Processes(2))):
        run_time, read_time = milliseconds(place, chosen.cells)
        print(f"{name:<16}{run_time:6.2f} ms a cell, {read_time:.3f} when it is stored", flush=True)
    if chosen.dask:
        with cluster() as there:
            print(f"{'two Dask workers':<16}{milliseconds(there, chosen.cells)[0]:6.2f} ms a cell", flush=True)
    if chosen.others:
        few = max(chosen.cells // 10, 1)
        for name, keep in (("joblib.Memory", by_memory), ("Optuna", by_optuna), ("DuckDB", by_duckdb)):
            print(f"{name:<16}{another(keep, few)} ms a result, in one process", flush=True)


if __name__ == "__main__":
    main()
