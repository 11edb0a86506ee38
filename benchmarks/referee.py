"""Runs one competitor on one instance in a process of its own, and judges its matrix.

python -m benchmarks.referee COMPETITOR CASE     prints one line of JSON
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ONE_CORE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
MEMORY = 20 * 2**30


def judge(competitor: str, case: str) -> dict:
    """Time the competitor (best of up to three runs) and compute gap and residual from its matrix or factors alone."""
    import numpy as np

    import flatmin as fm
    from benchmarks.instances import ALONE, PEERS

    chosen = {**PEERS, **ALONE}[case][0]
    solve = importlib.import_module(f"benchmarks.competitors.{competitor}").solve
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    times = []
    while len(times) < 3 and sum(times) < 10:
        instance = chosen.draw()
        start = time.perf_counter()
        X = solve(instance.problem, chosen.tol)
        times.append(time.perf_counter() - start)
    bound = fm.flat_minimum(instance.problem, tol=min(chosen.tol, 1e-9 if competitor != "flatmin_" else chosen.tol))
    proof = fm.certify(instance.problem, X, bound.certificate.dual)
    X = X[0] @ X[1].T if isinstance(X, tuple) else X
    return {
        "seconds": min(times),
        "gap": proof.relative_gap,
        "residual": proof.relative_residual,
        "holds": proof.holds,
        "bound": proof.bound_kind,
        "error": float(np.linalg.norm(X - instance.truth) / np.linalg.norm(instance.truth)),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run(competitor: str, case: str, timeout: float = 900) -> dict:
    """Return the judgement, or ``{"failure": reason}``."""
    command = [sys.executable, "-m", "benchmarks.referee", competitor, case]
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(
            command, cwd=root, env={**os.environ, **ONE_CORE}, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not done in {timeout:g} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    reason = done.stderr.strip().splitlines()[-1:] or [f"killed by signal {-done.returncode}"]
    return {"failure": reason[0][:120]}


if __name__ == "__main__":
    print(json.dumps(judge(*sys.argv[1:3])))
