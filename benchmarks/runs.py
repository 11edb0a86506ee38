"""One competitor on one data set, by benchopt, in a process of its own with limits; and the book of runs.

python -m benchmarks.runs '{"benchmark": "completion", "dataset": "gaussian", "solver": "flatmin"}'     one line of JSON
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.markdown import processor, versions

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BOOK, DUALS = RESULTS / "runs.jsonl", RESULTS / "duals"
MEMORY = 20 * 2**30
#: Seconds in all after which a run is not repeated.
PATIENCE = 25.0
#: A program that prints its own tables; the data set of its run is what follows its name.
KERNELS = "kernels"
#: Small problems that use compiled loops, by data set; a competitor that compiles solves one before it is timed.
LARGE_ENOUGH = {
    "gaussian": "gaussian[d1=400,d2=300,rank=3,m=60000]",
    "yardstick": "gaussian[d1=400,d2=300,rank=3,m=60000]",
    "noisy": "noisy[d=400,d2=300,m=60000,k=3]",
    "movielens": "noisy[d=400,d2=300,m=60000,k=30]",
    "gross": "gross[d1=200,d2=200,rank=3,missing=[0.0,0.2]]",
    "sklearn": "sklearn[table='breast-cancer',holes=0.1]",
}
#: Numbers of a row that do not come from the referee.
OTHERS = {"time": "seconds", "stop_val": "budget", "idx_rep": "repetition", "p_dataset_seed": "seed"}


@dataclass(frozen=True)
class Run:
    """A run: problem, competitor, repetitions and threads; ``dataset`` and ``solver`` are benchopt patterns."""

    benchmark: str
    dataset: str
    solver: str
    repeats: int = 3
    threads: int = 1
    limit: float = 120.0

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.benchmark, self.dataset, self.solver, self.threads

    @property
    def source(self) -> str:
        """Return a digest of the files that define a run; flatmin's own files do not count."""
        folder, named = ROOT / "benchmarks" / self.benchmark, {"datasets": self.dataset, "solvers": self.solver}
        texts = [file.read_text() for file in (folder / "objective.py", Path(f"{folder}.py")) if file.exists()]
        for place, pattern in named.items():
            name = f'name = "{pattern.partition("[")[0]}"'
            texts += [text for file in sorted((folder / place).glob("*.py")) if name in (text := file.read_text())]
        return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


class Book:
    """Results of runs, a line of JSON each; the last line of a run counts."""

    def __init__(self, file: Path = BOOK) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.records = {record_key(record): record for record in map(json.loads, lines)}

    def __getitem__(self, run: Run) -> dict[str, Any]:
        return self.records[run.key] if run in self else {"failure": "not run"}

    def __contains__(self, run: Run) -> bool:
        """Return whether a result belongs to the present data set, solver and objective."""
        return run.key in self.records and self.records[run.key].get("source") == run.source

    def write(self, run: Run, result: Mapping[str, Any]) -> None:
        record = {
            **asdict(run),
            "source": run.source,
            "date": time.strftime("%Y-%m-%d"),
            "processor": processor(),
            **result,
        }
        self.records[run.key] = record
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def tidy(self) -> None:
        """Keep one line for each run, in order."""
        lines = [json.dumps(self.records[key]) for key in sorted(self.records)]
        fresh = self.file.with_suffix(".new")
        fresh.write_text("".join(line + "\n" for line in lines))
        fresh.replace(self.file)


def record_key(record: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return record["benchmark"], record["dataset"], record["solver"], record["threads"]


def perform(run: Run) -> dict[str, Any]:
    """Return ``{"rows": …}``, ``{"failure": reason}`` or ``{"skipped": reason}``, whatever happens to the process."""
    count = str(run.threads)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, count), "FLATMIN_BENCHMARK_DUALS": str(DUALS)}
    environment |= {"BENCHOPT_RAISE_ON_ERROR": "true", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    printed = run.benchmark == KERNELS
    module = ["benchmarks.kernels", *run.dataset.split()] if printed else ["benchmarks.runs", json.dumps(asdict(run))]
    command = [sys.executable, "-m", *module]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=run.limit)
    except subprocess.TimeoutExpired:
        return {"failure": f"not done in {run.limit:g} s"}
    finally:
        stop(process)
    if printed and process.returncode == 0:
        return {"text": out.strip()}
    return outcome(process.returncode, out, err)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and all processes that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def outcome(status: int, out: str, err: str) -> dict[str, Any]:
    """Return the result of a process that has ended: its last line of output, or the reason why there is none."""
    lines = [line.strip() for line in out.splitlines()]
    if status == 0 and lines and lines[-1].startswith("{"):
        return dict(json.loads(lines[-1]))
    for line in lines:
        if line.startswith("Reason: "):
            return {"skipped": line.removeprefix("Reason: ")}
    reason = (err.strip().splitlines() or [f"killed by signal {-status}"])[-1]
    return {"failure": reason.removeprefix("RuntimeError: ")[:120]}


def measure(run: Run) -> dict[str, Any]:
    """Return the rows of a run in this process."""
    from benchopt.benchmark import Benchmark

    folder = ROOT / "benchmarks" / run.benchmark
    name = run.solver.partition("[")[0]
    for solver in Benchmark(folder, no_cache=True).get_solvers():
        if solver.name == name and not solver.is_installed(quiet=True):
            return {"failure": f"not installed: {', '.join(solver.requirements or []).replace('pip::', '')}"}
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warm_up(run, folder)
    start = time.perf_counter()
    rows = list(repetition(run, folder, 0))
    if time.perf_counter() - start < PATIENCE:
        for count in range(1, run.repeats):
            rows += repetition(run, folder, count)
    requirements = next(s.requirements for s in Benchmark(folder, no_cache=True).get_solvers() if s.name == name)
    packages = [requirement.removeprefix("pip::") for requirement in requirements or []]
    return {"rows": rows, "versions": versions(packages)}


def warm_up(run: Run, folder: Path) -> None:
    """Import and compile a competitor by solving a small problem that is not counted.

    A competitor that computes in another process starts it with its data, in time of its own.
    """
    from benchopt.benchmark import Benchmark

    benchmark, name = Benchmark(folder, no_cache=True), run.solver.partition("[")[0]
    known = {one.name: one for one in benchmark.get_datasets()}
    if not all(getattr(solver, "here", True) for solver in benchmark.get_solvers() if solver.name == name):
        return
    data = run.dataset.partition("[")[0]
    tested = data if hasattr(known[data], "test_parameters") else benchmark.get_benchmark_objective().test_dataset_name
    large = LARGE_ENOUGH.get(data) if name.startswith("flatmin") else None
    for dataset in filter(None, (pattern(known[tested]), large)):
        try:
            list(repetition(replace(run, dataset=dataset), folder, 0))
        except Exception:  # a failure here does not matter: the measured run follows and reports its own failures
            continue


def pattern(dataset: Any) -> str:
    """Return the pattern of a data set's small version for tests."""
    chosen: Mapping[str, Iterable[Any]] = {**dataset.parameters, **dataset.test_parameters}
    parts = [f"{name}={next(iter(values))!r}" for name, values in chosen.items()]
    return f"{dataset.name}[{','.join(parts)}]"


def repetition(run: Run, folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one pass over the data sets of a run."""
    import pandas as pd
    from benchopt import run_benchmark

    with tempfile.TemporaryDirectory() as place:
        file = run_benchmark(
            folder, solver_names=[run.solver], dataset_names=[run.dataset], no_cache=True, plot_result=False,
            display=False, show_progress=False, output_file=f"{place}/result.parquet",
        )  # fmt: skip
        table = pd.read_parquet(file)
    for _, found in table.iterrows():
        row = {OTHERS[name]: plain(found[name]) for name in OTHERS if name in table}
        judged = (name for name in table if name.startswith("objective_") and name != "objective_name")
        row |= {name.removeprefix("objective_"): plain(found[name]) for name in judged}
        yield row | {"repetition": count}


def plain(value: Any) -> Any:
    """Return a number or word for JSON; missing and non-finite values are None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    print("\n" + json.dumps(measure(Run(**json.loads(sys.argv[1])))))
