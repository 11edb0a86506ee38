"""Runs one competitor on one case in a process of its own, and judges its answer.

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
#: A single draw is solved up to three times, as long as this many seconds have not passed.
PATIENCE = 10
#: An answer this far from the truth is another one.
DIFFERENT = 1e-6


def judge(competitor: str, name: str) -> dict:
    """Return the judgement of the worst draw, field by field, and of each; a single draw is timed up to three times."""
    from benchmarks.instances import CASES

    case = CASES[name]
    module = importlib.import_module(f"benchmarks.competitors.{competitor}")
    for package in getattr(module, "REQUIRES", ()):  # now, so that no clock runs meanwhile
        importlib.import_module(package)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    found = []
    for seed in range(case.draws):
        instance, times = case.draw(seed), []
        while not times or (case.draws == 1 and len(times) < 3 and sum(t for t, _ in times) < PATIENCE):
            answer, *clock = timed(module.solve, instance.problem, case.tol, competitor.endswith("_"))
            times.append(clock)
        best = min(times)
        found.append({"seconds": best[0], "seconds to fit": best[1], **verdict(case, instance, answer)})
    return worst(found) | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, "each": found}


def timed(solve, problem, tol: float, own: bool) -> tuple:
    """Return the answer, the seconds it took, and the seconds until flatmin's last word before the certificate."""
    words = []
    more = (lambda row: words.append(time.perf_counter()),) if own else ()
    start = time.perf_counter()
    answer = solve(problem, tol, *more)
    end = time.perf_counter()
    return answer, end - start, (words[-1] if words else end) - start


def verdict(case, instance, answer) -> dict:
    """Return what the answer alone says: factors, a matrix, or a signal; and, of flatmin's, the dual vectors."""
    import flatmin as fm

    problem = instance.problem
    ours = answer if isinstance(answer, fm.Solution) else None
    given = ours.factors if ours else semidefinite(problem, answer)
    duals = (ours.certificate.dual, ours.certificate.uniqueness_dual) if ours else (reference(problem), None)
    proof = fm.certify(problem, given, duals[0], uniqueness_dual=duals[1])
    error = distance(instance, given)
    return {
        "gap": proof.relative_gap,
        "gap size": abs(proof.relative_gap),
        "residual": proof.relative_residual,
        "holds": proof.holds,
        "error": error,
        "unique": proof.unique,
        "margin": proof.margin,
        "margin kind": proof.margin_kind,
        "rank": ours.rank if ours else None,
        "honest": honest(problem, ours, proof, error) if ours and determined(problem) else None,
    }


def determined(problem) -> bool:
    """Return whether the data determine the trace, so that uniqueness alone is in question."""
    import flatmin as fm

    return isinstance(problem.parametrization, fm.Gram) and problem.measurement.is_rank_one


def reference(problem):
    """Return a dual vector for answers that come without: flatmin's, or the trivial one where it is optimal."""
    import flatmin as fm

    A = problem.measurement
    return A.traces() / A.size if determined(problem) else fm.flat_minimum(problem, tol=1e-9).certificate.dual


def semidefinite(problem, answer):
    """Return an answer as it is, but without the negative eigenvalues that a matrix of the model cannot have."""
    import numpy as np

    import flatmin as fm

    if not isinstance(problem.parametrization, fm.Gram) or np.shape(answer) != problem.shape:
        return answer
    values, vectors = np.linalg.eigh((answer + answer.conj().T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0.0)),)


def distance(instance, given) -> float:
    """Return the relative distance to the truth; of signals, after aligning the global phase."""
    import numpy as np

    truth, problem = instance.truth, instance.problem
    if truth.shape != problem.shape:
        columns = np.asarray(given[0] if isinstance(given, tuple) else given).reshape(problem.shape[0], -1)
        left, values, _ = np.linalg.svd(columns, full_matrices=False)
        found, truth = left[:, 0] * values[0], truth.reshape(-1)
        inner = np.vdot(found, truth)
        found = found * (inner / abs(inner) if inner else 1.0)
    else:
        model = problem.parametrization
        found = model.matrix(model.check(given, problem.shape)) if isinstance(given, tuple) else given
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def honest(problem, solution, proof, error: float) -> bool:
    """Return whether what is said of uniqueness can be: the truth fits as well, and another fit is looked at."""
    import numpy as np

    import flatmin as fm

    said = solution.certificate.unique
    if said is True:
        return bool(proof.unique is True and error <= DIFFERENT)
    if said is None:
        return True
    other, model = solution.certificate.alternative, problem.parametrization
    if other is None or not fm.certify(problem, other, proof.dual).holds:
        return False
    apart = np.linalg.norm(model.matrix(other) - solution.matrix)
    return bool(apart > DIFFERENT * np.linalg.norm(solution.matrix))


def worst(found: list[dict]) -> dict:
    """Return, field by field, the worst of several judgements."""
    if len(found) == 1:
        return found[0]
    largest = {"seconds", "seconds to fit", "gap size", "residual", "error", "rank"}
    out = {}
    for name in found[0]:
        values = [one[name] for one in found]
        if None in values:
            out[name] = None
        elif name in largest:
            out[name] = max(values)
        elif name == "margin kind":
            out[name] = "/".join(sorted(set(values)))
        else:
            out[name] = min(values) if name != "gap" else max(values, key=abs)
    return out


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
    if reason[0].startswith("ModuleNotFoundError: No module named"):
        return {"failure": f"not installed: {reason[0].split()[-1]}"}
    return {"failure": reason[0][:120]}


if __name__ == "__main__":
    print(json.dumps(judge(*sys.argv[1:3])))
