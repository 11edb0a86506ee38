"""Side by side with all competitors, and alone at larger sizes: times, ratios, gaps, residuals, and what was wanted.

python -m benchmarks.report                everything, about ten minutes
python -m benchmarks.report --quick        without the slow competitors, a few minutes
python -m benchmarks.report alone          only the larger sizes
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from benchmarks.instances import ALONE, PEERS
from benchmarks.referee import run

HEADER = "| problem | solver | seconds | times slower | wanted | gap | residual | error | peak MiB |"
COMPETITORS = Path(__file__).parent / "competitors"


def competitors(quick: bool = False) -> list[str]:
    """Return the names of all files in ``competitors/`` that have a ``solve`` of their own, but flatmin's."""
    names = sorted(module.name for module in iter_modules([str(COMPETITORS)]) if not module.name.endswith("_"))
    if not quick:
        return names
    return [name for name in names if not getattr(import_module(f"benchmarks.competitors.{name}"), "SLOW", False)]


def verdict(good: bool) -> str:
    return "ok" if good else "**MISSED**"


def slower(ours: dict, theirs: dict, wanted: float | None) -> tuple[str, str]:
    """Return by how much a competitor is slower, and whether that is as much as wanted."""
    if "failure" in ours or "failure" in theirs:
        return "", ""
    ratio = theirs["seconds"] / ours["seconds"]
    return f"{ratio:.1f}", "" if wanted is None else f"≥ {wanted:g} {verdict(ratio >= wanted)}"


def accuracy(ours: dict, everyone: list[dict]) -> str:
    """Return whether flatmin's gap is certified and, in size, no larger than that of any competitor."""
    if "failure" in ours:
        return ""
    gaps = [abs(theirs["gap"]) for theirs in everyone if "failure" not in theirs]
    return f"best gap {verdict(ours['holds'] and all(abs(ours['gap']) <= gap for gap in gaps))}"


def row(name: str, competitor: str, result: dict, ratio: str = "", wanted: str = "") -> None:
    if "failure" in result:
        print(f"| {name} | {competitor} | failed: {result['failure']} | | {wanted} | | | | |", flush=True)
        return
    print(
        f"| {name} | {competitor} | {result['seconds']:.3f} | {ratio} | {wanted} | {result['gap']:.1e} | "
        f"{result['residual']:.1e} | {result['error']:.1e} | {result['peak_mib']:.0f} |",
        flush=True,
    )


def machine() -> str:
    """Return the processor's name where the system tells, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores of which one is used"


def main() -> None:
    print(f"{platform.system()}, {machine()}; Python {platform.python_version()}; best of up to three runs\n")
    print(HEADER)
    print("|---" * HEADER.count(" |") + "|")
    if "alone" not in sys.argv:
        names = competitors("--quick" in sys.argv)
        for case, (_, wanted) in PEERS.items():
            ours = run("flatmin_", case)
            everyone = {name: run(name, case) for name in names}
            row(case, "flatmin", ours, wanted=accuracy(ours, list(everyone.values())))
            for name, theirs in everyone.items():
                row("", name, theirs, *slower(ours, theirs, wanted.get(name)))
    for case, (_, allowed) in ALONE.items():
        result = run("flatmin_", case)
        good = "failure" not in result and result["holds"] and result["seconds"] <= allowed
        row(case, "flatmin", result, wanted=f"≤ {allowed} s {verdict(good)}")


if __name__ == "__main__":
    main()
