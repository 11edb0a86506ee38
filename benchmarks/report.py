"""Side by side with cvxpy, and alone at larger sizes: times, ratios, gaps, residuals.

python -m benchmarks.report                everything, about ten minutes
python -m benchmarks.report --quick        without Clarabel, a few minutes
python -m benchmarks.report alone          only the larger sizes
"""

from __future__ import annotations

import platform
import sys

from benchmarks.instances import ALONE, PEERS
from benchmarks.referee import run


def row(name: str, competitor: str, result: dict, ratio: str = "", wanted: str = "") -> None:
    if "failure" in result:
        print(f"| {name} | {competitor} | failed: {result['failure']} | | | | | | |", flush=True)
        return
    print(
        f"| {name} | {competitor} | {result['seconds']:.3f} | {ratio} | {wanted} | {result['gap']:.1e} | "
        f"{result['residual']:.1e} | {result['error']:.1e} | {result['peak_mib']:.0f} |",
        flush=True,
    )


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}, one core; best of up to three runs\n")
    print("| problem | solver | seconds | times slower | wanted | gap | residual | error | peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    if "alone" not in sys.argv:
        for name, (_, scs, clarabel) in PEERS.items():
            ours = run("flatmin_", name)
            row(name, "flatmin", ours)
            for peer, wanted in (("scs", scs), ("clarabel", clarabel)):
                if peer == "clarabel" and ("--quick" in sys.argv):
                    continue
                theirs = run(peer, name)
                both = "seconds" in theirs and "seconds" in ours
                ratio = f"{theirs['seconds'] / ours['seconds']:.0f}" if both else ""
                row("", peer, theirs, ratio, f"≥ {wanted}" if wanted else "")
    for name, (_, allowed) in ALONE.items():
        row(name, "flatmin", run("flatmin_", name), "", f"≤ {allowed} s")


if __name__ == "__main__":
    main()
