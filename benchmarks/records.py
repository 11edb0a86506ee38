"""Exact completion at the sizes of published records: seconds, memory, duality gap and DIMACS errors.

    python -m benchmarks.records make FOLDER --cells 1e8 --sides 2e6
    python -m benchmarks.records fit FOLDER|FILE.parquet [--power 0] [--noise 1]
    python -m benchmarks.records table
    python -m benchmarks.records gathers

Triples are three files of NumPy, sorted by row, which a fit maps into memory. Each fit appends a line to
``benchmarks/results/records.jsonl``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.kernels import fastest, machine
from flatmin.linalg.kernels import Cells
from flatmin.linalg.kernels.cross_products import _cross_product
from flatmin.solvers.convex.minimum import working_memory

ROOT = Path(__file__).parent
STORE = ROOT / "results" / "records.jsonl"
RANK = 5
#: Number of cells that are drawn at once.
AT_ONCE = 1_000_000
#: Published results: source, machine, sides, cells, seconds, relative accuracy.
PUBLISHED = (
    ("HALLaR", "CPU", "3000", "216 172", "2.7", "gap 9e-6"),
    ("cuHALLaR", "H100", "8·10⁶", "3·10⁸", "60 to 120", "1e-5"),
    ("cuLoRADS", "H100", "", "2·10⁸", "minutes", "1e-5"),
)


def make(folder: Path, cells: int, sides: int, rank: int = RANK, seed: int = 0) -> None:
    """Write the triples of distinct random cells of a random matrix with ``sides`` rows and columns in all."""
    d1, d2 = sides // 2, sides - sides // 2
    rng = np.random.default_rng(seed)
    L, R = rng.standard_normal((d1, rank)), rng.standard_normal((d2, rank))
    folder.mkdir(parents=True, exist_ok=True)
    parts = max(1, cells // AT_ONCE)
    cuts = np.linspace(0, d1, parts + 1).astype(int)
    names = {"rows": np.int32, "cols": np.int32, "values": np.float64}
    files = {name: (folder / f"{name}.raw").open("wb") for name in names}
    total = 0
    for first, last in itertools.pairwise(cuts):
        keys = np.sort(rng.choice((last - first) * d2, cells // parts, replace=False, shuffle=False))
        rows, cols = (first + keys // d2).astype(np.int32), (keys % d2).astype(np.int32)
        parts_of = {"rows": rows, "cols": cols, "values": np.einsum("ij,ij->i", L[rows], R[cols])}
        for name, values in parts_of.items():
            values.astype(names[name]).tofile(files[name])
        total += len(keys)
    for name, kind in names.items():
        files[name].close()
        raw = np.memmap(folder / f"{name}.raw", kind, "r")
        np.save(folder / f"{name}.npy", raw)
        (folder / f"{name}.raw").unlink()
    (folder / "shape.json").write_text(json.dumps({"shape": [d1, d2], "rank": rank, "cells": total}))


def triples(path: Path) -> tuple[list[Any], tuple[int, int]]:
    """Return rows, columns and values of a folder by ``make`` or of the first columns of a Parquet file, and the shape.

    Files of NumPy stay on disk. Columns of a Parquet file are decoded one by one into arrays.
    """
    if path.is_dir():
        facts = json.loads((path / "shape.json").read_text())
        return [np.load(path / f"{name}.npy", mmap_mode="r") for name in ("rows", "cols", "values")], facts["shape"]
    from pyarrow import parquet

    file = parquet.ParquetFile(path, memory_map=True)
    rows, cols, values = (file.read(columns=[name]).column(0).to_numpy() for name in file.schema_arrow.names[:3])
    return [rows, cols, values], (int(rows.max()) + 1, int(cols.max()) + 1)


def fit(folder: Path, power: float, noise: float, share: float) -> dict[str, Any]:
    """Fit the triples of a folder or file, exactly or with a penalty, and return the numbers of the table."""
    (rows, cols, values), shape = triples(folder)
    if noise:
        values = values + noise * np.random.default_rng(1).standard_normal(len(values))
    warm_up()
    start, cpu = time.perf_counter(), time.process_time()
    problem = fm.Problem(fm.measurements.Entries(rows, cols, shape), values)
    del rows, cols, values
    before = peak()
    alpha = share * fm.alpha_max(problem) if noise else 0.0
    found = fm.flat_minimum(problem, alpha=alpha, metric_power=power, callback=progress)
    proof = found.certificate
    return {
        "cells": problem.measurement.size,
        "sides": sum(shape),
        "rank": found.rank,
        "power": power,
        "noise": noise,
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - cpu,
        "before": before,
        "peak": peak(),
        "estimate": working_memory(problem) / 1e9,
        "status": found.status.name,
        "rigor": proof.rigor,
        "unique": proof.unique,
        "gap": proof.relative_gap,
        "residual": proof.relative_residual,
        **dimacs(problem, found),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "load": os.getloadavg()[0],
    }


def dimacs(problem: fm.Problem, found: fm.Solution) -> dict[str, float]:
    """Return the errors by which SDP papers compare solutions of ``min ½ tr W1 + ½ tr W2, [[W1, Z], [Zᵀ, W2]] ⪰ 0``.

    Infeasibilities are relative to ``1 + ‖b‖`` and ``1 + ‖C‖_F`` with C = I/2. A fit with a penalty has the residual as
    a variable, so its equations hold. The bound of a certificate divides the dual vector by the norm of its dual
    matrix, so that it is feasible; ``dual`` is the infeasibility before this.
    """
    proof = found.certificate
    misfit, size = float(np.linalg.norm(problem.residual(found.factors))), float(np.linalg.norm(problem.data))
    exact = proof.objective == "interpolating"
    return {
        "primal": misfit / (1 + size) if exact else 0.0,
        "dual": max(0.0, proof.dual_norm - 1) / 2 / (1 + float(np.sqrt(sum(problem.shape))) / 2),
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Return the measured and the published rows as a table of Markdown."""
    heads = "problem | machine | sides | cells | wall s | processor s | peak GB | of it data | estimate | gap"
    heads += " | primal | dual | certified | unique"
    rows = [f"| {heads} |", "|" + "---|" * 14]
    for line in lines:
        norm = "nuclear" if line["power"] == 0 else "flat"
        problem = f"{norm}, noise and penalty" if line["noise"] else f"{norm}, exact"
        numbers = [
            (f"{line[name]:.0f}" if line[name] > 99 else f"{line[name]:.2g}") if name in line else ""
            for name in ("seconds", "processor", "peak", "before", "estimate")
        ]
        errors = [f"{line[name]:.0e}" for name in ("gap", "primal", "dual")]
        threads = "2 threads" if line["threads"] == "2" else "1 thread"
        facts = [
            *(f"{line[name]:,}".replace(",", " ") for name in ("sides", "cells")),
            *numbers,
            *errors,
            line["rigor"],
            str(line["unique"]),
        ]
        rows.append("| " + " | ".join([problem, f"here, {threads}", *facts]) + " |")
    for source, device, sides, cells, seconds, accuracy in PUBLISHED:
        facts = [f"{source}, published", device, sides, cells, seconds, *[""] * 4, accuracy, *[""] * 4]
        rows.append("| " + " | ".join(facts) + " |")
    return "\n".join(rows)


def gathers() -> str:
    """Return the speed of a loop of the normal equations at rank 5 as a share of the bandwidth of a triad."""
    triad, count, rng = machine(np.float64)[0], 20_000, np.random.default_rng(0)
    rows = ["| rows of the gathered factor | ns a cell | GB/s | of the triad |", "|" + "---|" * 4]
    for sides in (10_000, 100_000, 1_000_000):
        indices = np.sort(rng.integers(0, sides, (count, 100), dtype=np.int32), axis=1).ravel()
        cells = Cells((count, sides), np.arange(0, indices.size + 1, 100, dtype=np.int32), indices, threads=1)
        values, L, R = rng.random(cells.size), rng.random((count, RANK)), rng.random((sides, RANK))
        both, out = np.hstack([R, R]), np.empty_like(L)
        run = partial(_cross_product, cells.pointers, cells.indices, values, L, both, 0, count, np.empty(RANK), out)
        seconds = fastest(run, repeats=20)
        moved = cells.size * (4 + 8 + 16 * RANK) / seconds
        facts = [f"{sides:,}".replace(",", " "), f"{seconds / cells.size * 1e9:.1f}"]
        rows.append(f"| {' | '.join([*facts, f'{moved / 1e9:.1f}', f'{moved / triad:.2f}'])} |")
    return "\n".join(rows)


def warm_up() -> None:
    """Load or compile all loops with a small problem of the same kind."""
    instance = fm.families.matrix_completion.sample((2000, 2000), 2, 60_000, noise=0.1)
    fm.flat_minimum(instance.problem, max_iter=3)
    fm.flat_minimum(instance.problem, alpha=0.3 * fm.alpha_max(instance.problem))


def peak() -> float:
    """Return the largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def progress(row: dict[str, float]) -> None:
    """Print a row of the history."""
    print({name: row[name] for name in ("seconds", "residual", "gap", "rank") if name in row}, peak(), flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["make", "fit", "table", "gathers"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cells", type=float, default=1e6)
    parser.add_argument("--sides", type=float, default=2e4)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--power", type=float, default=1.0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--share", type=float, default=0.3, help="alpha as a share of alpha_max, with noise")
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, int(given.cells), int(given.sides), given.rank)
    elif given.command == "fit":
        line = json.dumps(fit(given.folder, given.power, given.noise, given.share))
        STORE.parent.mkdir(exist_ok=True)
        with STORE.open("a") as file:
            file.write(line + "\n")
        print(line)
    elif given.command == "gathers":
        print(gathers())
    else:
        print(table([json.loads(line) for line in STORE.read_text().splitlines()]))


if __name__ == "__main__":
    main()
