"""Distance from the limits of the machine: memory bandwidth of dense sensing, and the cost of starting.

python -m benchmarks.limits
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

import flatmin as fm
from flatmin._core.threads import one_thread


def best(action, repeats: int = 7) -> float:
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def bandwidth(m: int = 3000, d: int = 100) -> None:
    """Print the share of a streaming read's bandwidth that one pass over the sensing matrices reaches."""
    A = fm.measurements.Dense(np.random.default_rng(0).standard_normal((m, d, d)))
    X, y, size = np.ones((d, d)), np.ones(m), A.nbytes
    flat, other, out = A.tensor.ravel(), np.ones(A.tensor.size), np.empty(A.tensor.size)
    with one_thread():
        read = size / best(lambda: np.dot(flat, flat)) / 1e9
        triad = 3 * size / best(lambda: np.add(flat, other, out=out)) / 1e9
        print(f"one core, {size / 1e6:.0f} MB of sensing matrices; reading {read:.1f} GB/s, triad {triad:.1f} GB/s")
        for name, passes, action in (
            ("forward", 1, lambda: A.forward(X)),
            ("adjoint", 1, lambda: A.adjoint(y)),
            ("derivative, k = 3", 2, lambda: A.jacobian(np.ones((d, 3)), np.ones((d, 3)))),
        ):
            reached = passes * size / best(action) / 1e9
            print(f"  {name:18s} {reached:5.1f} GB/s, {reached / read:4.0%} of reading")


def startup() -> None:
    """Print the time that importing flatmin adds to NumPy and SciPy, and the time of the command line to answer."""

    def run(code: list[str]) -> float:
        return best(lambda: subprocess.run([sys.executable, *code], check=True, capture_output=True), 5)

    base = run(["-c", "import numpy, scipy"])
    print(f"import flatmin adds {run(['-c', 'import numpy, scipy, flatmin']) - base:.2f} s to NumPy and SciPy")
    print(f"flatmin --help answers in {run(['-m', 'flatmin', '--help']):.2f} s")


if __name__ == "__main__":
    bandwidth()
    startup()
