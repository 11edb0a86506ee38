"""Completion on a standalone cluster of Spark that this command starts: one master, and workers of one core each.

    python -m benchmarks.cluster fit [--cells 2e7] [--workers 2] [--kill SWEEP]
    python -m benchmarks.cluster table | growth

Cells of a matrix of rank 5 with noise of variance 1 are written as Parquet, 100 of them in a row and 500 in a column
on average, then fitted with a penalty and certified. ``--kill`` kills a worker and its executor after that sweep.
Each fit appends a line to ``benchmarks/results/cluster.jsonl``; --store names another file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.cluster.memory import MemoryWatch, descendants, largest, processor
from benchmarks.cluster.standalone import Standalone, connected, standalone
from benchmarks.cluster.traffic import traffic
from benchmarks.markdown import cells as markdown_row
from flatmin.spark import SparkCompletion

STORE = Path(__file__).parents[1] / "results" / "cluster.jsonl"
RANK, WIDTH = 5, 8  #: Rank of the matrix without noise, and number of columns of the factors of the fit.
ALPHA = 0.3  #: Spark's regParam.
IN_ROW, IN_COLUMN = 100, 500  #: Mean numbers of cells of a row and of a column.
#: Singular values of the matrix, relative to those of a matrix of unit variance. The last one is just above `ALPHA`,
#: below which the penalty removes it, so the fit needs sweeps after the iterations of Spark.
SPECTRUM = np.geomspace(1, 0.31, RANK)
PREDICTED = (10**9, 10**10)  #: Numbers of cells for which costs are predicted.
CORES = 100  #: Number of workers for which they are predicted.
AT_ONCE = 1_000_000  #: Number of cells that are drawn at once.
HEAD = (
    "cells",
    "workers",
    "killed",
    "wall s",
    "read",
    "ALS",
    "sweeps",
    "certificate",
    "number of sweeps",
    "rank",
    "gap",
    "certified",
    "driver, Java + Python, GB",
    "all processes, GB",
)


def make(folder: Path, count: int) -> None:
    """Write ``count`` random cells as files of Parquet, some of which may be seen twice."""
    from pyarrow import parquet, table

    rng = np.random.default_rng(0)
    d1, d2 = max(1, count // IN_ROW), max(1, count // IN_COLUMN)
    L, R = (rng.standard_normal((d, RANK)) * np.sqrt(SPECTRUM) for d in (d1, d2))
    folder.mkdir()
    cuts = np.linspace(0, count, max(2, count // AT_ONCE) + 1).astype(int)
    for number, (first, last) in enumerate(pairwise(cuts)):
        i, j = rng.integers(d1, size=last - first), rng.integers(d2, size=last - first)
        values = np.einsum("nk,nk->n", L[i], R[j]) + rng.standard_normal(len(i))
        parquet.write_table(table({"row": i, "column": j, "value": values}), folder / f"{number}.parquet")


def fit(count: int, workers: int, memory: str, driver_memory: str, kill: int | None) -> dict[str, Any]:
    """Return the numbers of one fit on a cluster."""
    with tempfile.TemporaryDirectory(prefix="flatmin-cluster-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", __spec__.name, "make", name, "--cells", str(count)], check=True)
        with MemoryWatch() as watch, standalone(folder, workers, memory) as cluster:
            facts = _fitted(cluster, memory, driver_memory, kill)
        (events,) = (folder / "events").iterdir()
        line = {"cells": count, "workers": workers, "kill": kill, **facts, "all": watch.total}
        return {**line, "traffic": traffic(events), "load": os.getloadavg()[0]}


def _fitted(cluster: Standalone, memory: str, driver_memory: str, kill: int | None) -> dict[str, Any]:
    sweeps: list[tuple[float, float, float]] = []
    with connected(cluster, memory, driver_memory) as spark:
        context = spark.sparkContext
        driver = {os.getpid(), context._gateway.proc.pid}
        spark.range(8).count()

        def executors() -> int:
            return int(context._jsc.sc().getExecutorMemoryStatus().size()) - 1

        def progress(row: dict[str, float]) -> None:
            print(row, file=sys.stderr, flush=True)
            if "gradient" in row:
                others = descendants(os.getpid()) - driver
                sweeps.append((row["seconds"], processor(others), processor(driver)))
                if len(sweeps) == kill:
                    cluster.kill(-1)

        before, start = executors(), time.perf_counter()
        found = SparkCompletion.fit(str(cluster.folder / "cells"), alpha=ALPHA, rank=WIDTH, callback=progress)
        wall, others = time.perf_counter() - start, descendants(os.getpid()) - driver
        proof = found.certificate
        assert proof is not None
        return {
            "executors": [before, executors()],
            "wall": wall,
            "processor": [processor(others), processor(driver)],
            "costs": dict(found.costs),
            "sweeps": len(sweeps),
            "sweep_seconds": np.diff(sweeps, axis=0).tolist(),
            "rank": found.solution.rank,
            "gap": proof.relative_gap,
            "holds": proof.holds,
            "bound": proof.bound_kind,
            "value": proof.value,
            "shape": [len(factor) for factor in found.factors],
            "driver": [largest(context._gateway.proc.pid), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024],
        }


def table(lines: list[dict[str, Any]]) -> str:
    """Return the table of all fits."""
    rows = [markdown_row(HEAD), markdown_row(["---"] * len(HEAD))]
    for line in lines:
        parts = [f"{line['costs'][part]:.0f}" for part in ("read", "als", "sweeps", "certificate")]
        killed = "" if line["kill"] is None else f"after sweep {line['kill']}"
        memory = [" + ".join(f"{size / 1e9:.2f}" for size in line["driver"]), f"{line['all'] / 1e9:.1f}"]
        proof = [line["rank"], f"{line['gap']:.0e}", f"{'yes' if line['holds'] else 'no'}, {line['bound']}"]
        facts = (line["workers"], killed, f"{line['wall']:.0f}", *parts, line["sweeps"], *proof, *memory)
        rows.append(markdown_row((_spaced(line["cells"]), *facts)))
    return "\n".join(rows)


def sweep(line: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of a sweep of a fit, which has two jobs, and the megabytes that it moves.

    The seconds are medians over all sweeps but those after the loss of a worker. What such a fit moves is left out.
    """
    killed = line["kill"] is not None
    wall, executors, driver = np.median(line["sweep_seconds"][: line["kill"] - 1 if killed else None], axis=0)
    seconds = {"wall": wall, "executors": executors, "driver": driver}
    if killed:
        return seconds
    moved, sweeps = line["traffic"]["sweeps"], line["traffic"]["sweeps"]["jobs"] / 2
    shares = {"shuffled": 1, "broadcast": line["workers"], "collected": 1}
    return seconds | {kind: moved.get(kind, 0) / sweeps / 1e6 / share for kind, share in shares.items()}


def growth(lines: list[dict[str, Any]]) -> str:
    """Return the costs of a sweep for all fits, and what they predict for more cells.

    Each cost is fitted by a constant plus a multiple of the cells, with relative residuals of least squares. The
    predicted wall time is that of `CORES` workers, which share the work of the executors; nothing shares the driver's.
    """
    names = ("executors", "driver", "shuffled", "broadcast", "collected")
    heads = ("cells", "workers", "wall s", "executors' processor s", "driver's processor s")
    heads += ("shuffled MB", "broadcast MB a worker", "collected MB")
    rows = [markdown_row(heads), markdown_row(["---"] * len(heads))]
    found = [sweep(line) for line in lines]
    for line, costs in zip(lines, found, strict=True):
        numbers = (f"{costs[name]:.2g}" if name in costs else "" for name in ("wall", *names))
        rows.append(markdown_row((_spaced(line["cells"]), line["workers"], *numbers)))
    for count in PREDICTED:
        predicted = {}
        for name in names:
            known = [(line["cells"], costs[name]) for line, costs in zip(lines, found, strict=True) if name in costs]
            predicted[name] = _predicted(*np.array(known, dtype=float).T, count)
        predicted["wall"] = predicted["executors"] / CORES + predicted["driver"]
        numbers = (f"{predicted[name]:.2g}" for name in ("wall", *names))
        rows.append(markdown_row((_spaced(count), f"{CORES}, predicted", *numbers)))
    return "\n".join(rows)


def _predicted(counts: Any, values: Any, count: float) -> float:
    """Return the value at ``count`` of the line that fits values at counts with the least relative errors."""
    if not values.any():
        return 0.0
    shares = np.column_stack([np.ones_like(counts), counts]) / values[:, None]
    constant, slope = nnls(shares, np.ones_like(counts))[0]
    return float(constant + slope * count)


def _spaced(count: float) -> str:
    return f"{int(count):,}".replace(",", " ")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["fit", "table", "growth", "make"])
    parser.add_argument("folder", type=Path, nargs="?", help="of the command make: where to write the cells")
    parser.add_argument("--cells", type=float, default=2e7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="3g", help="memory of the Java heap of an executor")
    parser.add_argument("--driver-memory", default="1g", help="memory of the Java heap of the driver")
    parser.add_argument("--kill", type=int, help="number of the sweep after which a worker is killed")
    parser.add_argument("--store", type=Path, default=STORE)
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder / "cells", int(given.cells))
    elif given.command in ("table", "growth"):
        lines = [json.loads(line) for line in given.store.read_text().splitlines()]
        print(table(lines) if given.command == "table" else growth(lines))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the cluster is ended too
        found = fit(int(given.cells), given.workers, given.memory, given.driver_memory, given.kill)
        with given.store.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found))


if __name__ == "__main__":
    main()
