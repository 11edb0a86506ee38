"""Figures of an installation: its size, the times of imports, and of the first fit of a large table.

``python -m release.figures`` measures the installed packages. Times are of processes of their own, in processor
seconds, the median of five; wall-clock times are longer if the machine is busy or the disk is cold.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution

from benchmarks.markdown import line, processor

from release.dependencies import installed
from release.requirements import project

TIMED = "import sys, time; start = time.process_time(); {}; print(time.process_time() - start)"
IMPORTS = {
    "`import numpy`": "import numpy",
    "`import flatmin`": "import flatmin",
    "`from flatmin import flat_minimum`, with NumPy and SciPy": "from flatmin import flat_minimum",
    "`from flatmin import MatrixCompletion`, with scikit-learn": "from flatmin import MatrixCompletion",
    "`flatmin --version`": "from flatmin.cli import main; main(['--version'])",
}
#: The fit of a table of 60 000 known cells, which compiled loops compute.
FIT = """
import time
import numpy as np
import flatmin as fm
rng = np.random.default_rng(0)
X = rng.standard_normal((400, 2)) @ rng.standard_normal((2, 300)) + 0.1 * rng.standard_normal((400, 300))
model = fm.MatrixCompletion(0.05)
start = time.process_time()
model.fit(np.where(rng.random(X.shape) < 0.5, X, np.nan))
print(time.process_time() - start)
"""


def seconds(code: str, **environment: str) -> float:
    """Return the number that a program prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return float(done.stdout.split()[-1])


def sizes() -> Iterator[tuple[str, int]]:
    """Yield the name of every package that flatmin needs, and the bytes of its files, without those of its bytecode."""
    for package in installed(project()["name"]).values():
        files = distribution(package.name).files or []
        places = [str(file.locate()) for file in files if not str(file).endswith(".pyc")]
        yield package.name, sum(os.path.getsize(place) for place in places if os.path.exists(place))


def main() -> None:
    print(f"{processor()}, Python {sys.version.split()[0]}\n")
    found = sorted(sizes(), key=lambda pair: -pair[1])
    line(("what", "figure"))
    print("|---|---|")
    largest = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in found[:4])
    line((f"size of all {len(found)} packages", f"{sum(size for _, size in found) / 1e6:.0f} MB: {largest}"))
    for name, code in IMPORTS.items():
        times = [seconds(TIMED.format(code)) for _ in range(5)]
        line((name, f"{statistics.median(times):.2f} s"))
    with tempfile.TemporaryDirectory() as place:
        cold, warm = (seconds(FIT, NUMBA_CACHE_DIR=place) for _ in range(2))
    line(("first fit of a large table after the installation", f"{cold:.1f} s"))
    line(("the same fit in later processes", f"{warm:.1f} s"))


if __name__ == "__main__":
    main()
