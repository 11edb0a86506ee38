"""Load: a fitted model under many callers, and memory over many calls.

``python -m benchmarks.load [--seconds S] [--calls N] [--page FILE]`` prints a table and writes it into a document.
Eight threads, and then four processes, call `MatrixCompletion.predict` and `transform` for some seconds; the table has
the median and the 99th percentile of a call. Eight threads fit estimators, which must agree bit for bit with fits one
after another. Then fits, predictions, stores and pages are repeated, and the growth of memory is stated for 1000 calls.
"""

import argparse
import concurrent.futures
import contextlib
import gc
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import flatmin as fm
from benchmarks.markdown import cells, machine, replace_block

__all__ = ["estimators", "growth", "latencies", "leaks", "outcome", "serial_and_threaded"]

BLOCK = "load"
#: Callers at once: threads, and processes.
THREADS, PROCESSES = 8, 4
#: Most calls before memory is measured.
WARMING = 1000
#: A folder on no disk, of Linux.
IN_MEMORY = "/dev/shm"
RNG_SEED = 0


def table() -> np.ndarray:
    """Return a table of rank two with missing cells."""
    rng = np.random.default_rng(RNG_SEED)
    X = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 20)) + 0.1 * rng.standard_normal((60, 20))
    X[rng.random(X.shape) < 0.3] = np.nan
    return X


def latencies(model: Any, X: np.ndarray, seconds: float) -> list[float]:
    """Call ``predict`` and ``transform`` in turn for some seconds, compare results with the first, and time calls."""
    calls, found = (model.predict, model.transform), []
    expected = [call(X) for call in calls]
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        result = calls[len(found) % 2](X)
        found.append(time.perf_counter() - begun)
        if not np.array_equal(result, expected[(len(found) - 1) % 2]):
            raise AssertionError("two calls with the same data differ")
    return found


def _in_process(task: tuple[str, np.ndarray, float]) -> list[float]:
    file, X, seconds = task
    return latencies(fm.MatrixCompletion.load(file), X, seconds)


def estimators() -> dict[str, tuple[Callable[[], Any], tuple[Any, ...]]]:
    """Return a constructor of each estimator with small data for its ``fit``."""
    rng = np.random.default_rng(RNG_SEED)
    X, pairs = table()[:20, :8], np.array([[k % 7, k % 5] for k in range(35)])
    B = rng.standard_normal((40, 4, 4))
    features = rng.standard_normal((40, 4))
    treated = np.zeros(X.shape, bool)
    treated[-1, -2:] = True
    data: dict[str, tuple[Any, ...]] = {
        "MatrixCompletion": (X,),
        "RobustPCA": (np.nan_to_num(X),),
        "PanelEffect": (np.nan_to_num(X), treated),
        "PairRegressor": (pairs, pairs @ [1.0, 2.0]),
        "TraceRegressor": (B.reshape(40, 16), B[:, 0, 0] + B[:, 1, 2]),
        "BilinearRegressor": (features, features[:, 0] * features[:, 3]),
        "QuadraticNetworkRegressor": (features, features[:, 0] ** 2),
        "CovarianceSketch": (features, features[:, 0] ** 2 + 1),
        "PhaseRetrieval": (features, features[:, 0] ** 2),
    }

    def maker(name: str, **chosen: Any) -> Callable[[], Any]:
        shape = {"shape": (4, 4)} if name.startswith("TraceRegressor") else {}
        settings = {} if name == "RobustPCA" else chosen
        return lambda: getattr(fm, name)(**settings, **shape)

    found = {name: (maker(name, alpha=0.01), samples) for name, samples in data.items()}
    for name, samples in data.items():
        if hasattr(fm, f"{name}CV"):
            found[f"{name}CV"] = maker(f"{name}CV", alphas=(0.1, 0.01), cv=2), samples
    return found


def outcome(name: str) -> tuple[np.ndarray, ...]:
    """Fit an estimator, and return the arrays that it found."""
    make, data = estimators()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(*data)
    return tuple(np.asarray(value) for key, value in sorted(vars(model).items()) if isinstance(value, np.ndarray))


def serial_and_threaded(names: list[str]) -> list[str]:
    """Fit estimators in eight threads at once; return sentences about results that differ, or changed limits."""
    expected = {name: outcome(name) for name in names}
    before = _limits()
    work = [name for name in names for _ in range(max(1, THREADS // len(names)) + 1)]
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(outcome, work))
    faults = [
        f"{name} in a thread differs from {name} alone"
        for name, found in zip(work, results, strict=True)
        if len(found) != len(expected[name]) or not all(map(_same, found, expected[name]))
    ]
    return faults if _limits() == before else [*faults, f"limits of threads were {before}, and are {_limits()}"]


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.tobytes() == second.tobytes()


def _limits() -> list[tuple[str, int]]:
    return sorted((library["filepath"], library["num_threads"]) for library in threadpool_info())


def memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call: Callable[[], Any], calls: int) -> float:
    """Return by how many bytes 1000 calls grow, after calls that fill caches."""
    for _ in range(min(calls // 5 + 1, WARMING)):
        call()
    gc.collect()
    before = memory()
    for _ in range(calls):
        call()
    gc.collect()
    return (memory() - before) * 1000 / calls


def leaks(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what is repeated: a fit, a prediction, a saved model, a stored trial and a page."""
    from flatmin.lab import Result, Store, recipes

    X = table()[:12, :6]
    model = fm.MatrixCompletion(alpha=0.3).fit(X)
    recipe = recipes.find("figure-3").quickly()
    trial = next(iter(recipe.trials()))
    problem = fm.families.matrix_sensing.sample((4, 3), 1, 12, seed=RNG_SEED).problem
    certificate = fm.flat_minimum(problem).certificate

    def store() -> None:
        (folder / "trials.db").unlink(missing_ok=True)
        with Store(folder / "trials.db") as kept:
            kept.record(recipe, Result(trial, {"success": True}, 0.5))

    def saved() -> None:
        model.save(folder / "model.npz")
        fm.MatrixCompletion.load(folder / "model.npz")

    return {
        "`MatrixCompletion.fit`": lambda: fm.MatrixCompletion(alpha=0.3).fit(X),
        "`MatrixCompletion.predict`": lambda: model.predict(X),
        "`flat_minimum`": lambda: fm.flat_minimum(problem),
        "`save` and `load`": saved,
        "a store of trials": store,
        "the text of a certificate": certificate._repr_html_,
    }


def page(folder: Path) -> None:
    """Write the report of a small problem."""
    from flatmin.cli import main

    with contextlib.chdir(folder), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        (folder / "x.csv").write_text("1,2,\n2,4,6\n,8,12\n")
        with contextlib.redirect_stderr(nowhere):
            main(["recover", "matrix-completion", "x.csv", "--output", "out", "--quiet"])


def main() -> int:
    """Return 1 if a thread's result differs, or memory grows by more than a megabyte in 1000 calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="seconds for threads, and again for processes")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--page", type=Path, help=f"a document with the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    asked = parser.parse_args()
    X = table()
    model = fm.MatrixCompletion(alpha=0.01).fit(X)
    rows = [
        cells(["callers of `predict` and `transform`", "calls", "median", "99th percentile"]),
        cells(["---"] + ["--:"] * 3),
    ]
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as place:
        model.save(Path(place) / "model.npz")
        task = (str(Path(place) / "model.npz"), X, asked.seconds)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            threads = [*chain(*pool.map(lambda _: latencies(model, X, asked.seconds), range(THREADS)))]
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as processes:
            apart = [*chain(*processes.map(_in_process, [task] * PROCESSES))]
        for name, found in ((f"{THREADS} threads", threads), (f"{PROCESSES} processes", apart)):
            low, high = (f"{1000 * float(np.quantile(found, q)):.2f} ms" for q in (0.5, 0.99))
            rows.append(cells([name, len(found), low, high]))
            print(rows[-1], flush=True)
        faults = serial_and_threaded(list(estimators()))
        rows += [
            "",
            f"Fits of {len(estimators())} estimators in {THREADS} threads that differ from fits alone: {len(faults)}.",
            "",
        ]
        rows += [cells(["repeated", "calls", "growth of memory in 1000 calls"]), cells(["---", "--:", "--:"])]
        worst = 0.0
        for name, call in leaks(Path(place)).items():
            grown = growth(call, asked.calls)
            worst = max(worst, grown)
            rows.append(cells([name, asked.calls, f"{grown / 2**10:.0f} KiB"]))
            print(rows[-1], flush=True)
        pages = max(50, asked.calls // 100)
        grown = growth(lambda: page(Path(place)), pages)
        rows.append(cells(["`recover` with its page", pages, f"{grown / 2**10:.0f} KiB"]))
    print("\n".join(rows), *faults, machine(), sep="\n")
    if asked.page and not replace_block(asked.page, BLOCK, "\n".join(rows)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    return 1 if faults or worst > 2**20 else 0


if __name__ == "__main__":
    sys.exit(main())
