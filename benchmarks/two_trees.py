"""Ratios of the times of two source trees: a change of the code is compared with the code before it.

python -m benchmarks.two_trees BEFORE AFTER [--only PATTERN] [--rounds N]

BEFORE and AFTER are folders with a package flatmin in them, such as ``src`` of two checkouts. Each gets a process of
its own, on one thread. The processes take turns on the same problem, so the load of the machine is the same for both.
The row of a problem has the least processor time of each. PATTERN is a part of a problem's name, with * and ? as in
file names.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.markdown import line

#: Processor time that all solves of one tree may take for one problem, in seconds, after the first three of them.
LONG_ENOUGH = 2.0
#: The variables with which libraries limit their threads.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def _gross(d: int, rank: int, missing: float = 0.0) -> Any:
    import numpy as np

    import flatmin as fm

    problem = fm.families.robust_pca.sample((d, d), rank, seed=0).problem
    if not missing:
        return problem
    rng = np.random.default_rng(0)
    seen = np.flatnonzero(rng.random(d * d) >= missing)
    entries = fm.measurements.Entries(*np.divmod(seen, d), (d, d))
    return fm.Problem(entries, problem.data[seen], loss=problem.loss)


def _cases() -> Mapping[str, tuple[Callable[[], Any], dict[str, Any]]]:
    """Return functions that draw problems, and the options of their solves, by name."""
    from flatmin import families as f

    coarse, completion = {"tol": 1e-7}, f.matrix_completion.sample
    return {
        "completion 60×50, r 2, oversampling 4": (lambda: completion((60, 50), 2, 864).problem, {}),
        "completion 200×150, r 3, oversampling 4": (lambda: completion((200, 150), 3, 4164).problem, coarse),
        "completion 200×150, r 3, oversampling 2": (lambda: completion((200, 150), 3, 2082).problem, coarse),
        "completion 1000×1000, r 10": (lambda: completion((1000, 1000), 10, 100_000).problem, {}),
        "completion 10k×10k, r 10": (lambda: completion((10_000, 10_000), 10, 1_000_000).problem, {}),
        "completion 300×200, penalised": (
            lambda: completion((300, 200), 3, 20_000, noise=0.3).problem,
            {"alpha": 10.0},
        ),
        "completion 943×1682, penalised": (
            lambda: completion((943, 1682), 5, 100_000, noise=1.0).problem,
            {"alpha": 600.0},
        ),
        "robust PCA 100×100, r 3": (lambda: _gross(100, 3), {}),
        "robust PCA 500×500, r 10": (lambda: _gross(500, 10), {}),
        "robust PCA 1000×1000, r 10": (lambda: _gross(1000, 10), {}),
        "robust PCA 500×500, r 10, 20% missing": (lambda: _gross(500, 10, 0.2), {}),
        "sensing 60×50, r 2, m 880": (lambda: f.matrix_sensing.sample((60, 50), 2, 880).problem, coarse),
        "sensing 60×50, r 2, m 330": (lambda: f.matrix_sensing.sample((60, 50), 2, 330).problem, coarse),
        "bilinear 60×50, r 2, m 880": (lambda: f.bilinear_sensing.sample((60, 50), 2, 880).problem, coarse),
        "bilinear 60×50, r 2, m 330": (lambda: f.bilinear_sensing.sample((60, 50), 2, 330).problem, coarse),
        "covariance 200, r 5, m 3000": (lambda: f.covariance.sample(200, 5, 3000).problem, {}),
        "phase 40, m 320": (lambda: f.phase_retrieval.sample(40, 1, 320).problem, {}),
        "network 30 (2,1), m 200": (lambda: f.quadratic_network.sample(30, (2, 1), 200).problem, {}),
        "network 30 (1,1), m 400": (lambda: f.quadratic_network.sample(30, 2, 400).problem, {}),
        "network 30 (2,1), m 400": (lambda: f.quadratic_network.sample(30, (2, 1), 400).problem, {}),
        "network 50 (2,1), m 600": (lambda: f.quadratic_network.sample(50, (2, 1), 600).problem, {}),
        "products 200, depth 2": (lambda: f.sparse_regression.sample(200, 5, 80).problem, {}),
    }


def serve() -> None:
    """Read names of problems, one a line, and answer each with the seconds of a solve and words on its proof."""
    import flatmin as fm

    cases = _cases()
    for name in map(str.strip, sys.stdin):
        draw, options = cases[name]
        problem = draw()
        start = time.process_time()
        solution = fm.flat_minimum(problem, **options)
        seconds, proof = time.process_time() - start, solution.certificate
        radius = "none" if proof.radius is None else f"{proof.radius:.1e}"
        print(seconds, f"{solution.status.name} {proof.unique} {radius}", sep="\t", flush=True)


class Tree:
    """A process that solves problems with the code of one source tree."""

    def __init__(self, source: Path) -> None:
        path = os.pathsep.join([str(source.resolve()), str(Path(__file__).resolve().parents[1])])
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": path}
        command = [sys.executable, "-c", "from benchmarks.two_trees import serve; serve()"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def solve(self, name: str) -> tuple[float, str]:
        """Return the seconds of processor time of one solve, and words on its proof."""
        sent, received = self.process.stdin, self.process.stdout
        assert sent is not None
        assert received is not None
        print(name, file=sent, flush=True)
        seconds, _, words = received.readline().strip().partition("\t")
        return float(seconds), words


def compare(trees: tuple[Tree, Tree], name: str, rounds: int) -> None:
    """Print the row of one problem."""
    for tree in trees:  # compiles loops and loads libraries
        tree.solve(name)
    least, spent, words = [float("inf")] * 2, 0.0, ["", ""]
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            seconds, words[side] = trees[side].solve(name)
            least[side], spent = min(least[side], seconds), spent + seconds / 2
        if turn >= 2 and spent > LONG_ENOUGH:
            break
    verdict = words[1] if words[0] == words[1] else f"{words[0]} → {words[1]}"
    line([name, f"{1e3 * least[0]:.1f} ms", f"{1e3 * least[1]:.1f} ms", f"{least[1] / least[0]:.2f}", verdict])
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", default="", help="part of a problem's name")
    parser.add_argument("--rounds", type=int, default=25, help="most solves with each tree")
    given = parser.parse_args()
    trees = Tree(given.before), Tree(given.after)
    line(["problem", "before", "after", "ratio", "status, unique, radius"])
    line(["---"] * 5)
    for name in _cases():
        if fnmatch.fnmatch(name, f"*{given.only}*"):
            compare(trees, name, given.rounds)


if __name__ == "__main__":
    main()
