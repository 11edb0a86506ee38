"""Every case by flatmin, beside the competitors that serve its family: times, ratios, judgements, and what was wanted.

python -m benchmarks.report [FAMILY …]           everything, or the families named; about half an hour in all
python -m benchmarks.report [FAMILY …] --quick   without the slow competitors
python -m benchmarks.report [FAMILY …] alone     without any competitor
"""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from benchmarks.instances import CASES, Case, Wish
from benchmarks.referee import run

COMPETITORS = Path(__file__).parent / "competitors"
#: The columns: their titles, the fields of a judgement, and how they are written.
COLUMNS = {
    "gap": ("gap", ".1e"),
    "residual": ("residual", ".1e"),
    "error": ("error", ".1e"),
    "unique": ("unique", ""),
    "margin": ("margin", ".2g"),
    "peak MiB": ("peak", ".0f"),
}
HEADER = ["problem", "solver", "seconds", "times slower", "wanted", *COLUMNS]
#: Where answers compare by their gap: elsewhere all that fits is equally flat, or flatness is not what is sought.
BY_GAP = ("matrix-sensing", "bilinear-sensing", "matrix-completion", "general-gram", "quadratic-network", "robust-pca")


def competitors(quick: bool = False) -> dict[str, ModuleType]:
    """Return all files in ``competitors/`` that have a ``solve`` of their own, but flatmin's."""
    names = sorted(module.name for module in iter_modules([str(COMPETITORS)]) if not module.name.endswith("_"))
    modules = {name: import_module(f"benchmarks.competitors.{name}") for name in names}
    return {name: module for name, module in modules.items() if not (quick and getattr(module, "SLOW", False))}


def mark(good: bool) -> str:
    return "ok" if good else "**MISSED**"


def slower(ours: dict, theirs: dict, wanted: float | None) -> tuple[str, str]:
    """Return by how much a competitor is slower, and whether that is as much as wanted."""
    if "failure" in ours or "failure" in theirs:
        return "", ""
    ratio = theirs["seconds"] / ours["seconds"]
    return f"{ratio:.1f}", "" if wanted is None else f"≥ {wanted:g} {mark(ratio >= wanted)}"


def granted(case: Case, ours: dict, everyone: list[dict]) -> str:
    """Return every wish, whether it was met and by how far, and whether no competitor's gap is smaller in size."""
    wishes = [f"{wish} {mark('failure' not in ours and wish.met(ours))}{detail(wish, ours)}" for wish in case.wishes]
    gaps = [theirs["gap size"] for theirs in everyone if "failure" not in theirs]
    if gaps and case.family in BY_GAP:
        wishes.append(f"best gap {mark('failure' not in ours and ours['gap size'] <= min(gaps))}")
    return ", ".join(wishes)


def detail(wish: Wish, ours: dict) -> str:
    """Return in how many draws a wish was met, if there were several, and the seconds that have no column."""
    each = ours.get("each", [])
    if len(each) > 1:
        return f" ({sum(wish.met(one) for one in each)}/{len(each)})"
    return f" ({ours[wish.name]:.2f})" if wish.name == "seconds to fit" and wish.name in ours else ""


def shown(value: object, form: str) -> str:
    """Return a number in its form, a word as it is, nothing for None."""
    return "" if value is None else format(value, form) if isinstance(value, int | float) and form else str(value)


def line(cells: list[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def row(name: str, solver: str, result: dict, ratio: str = "", wanted: str = "") -> None:
    if "failure" in result:
        line([name, solver, f"failed: {result['failure']}", "", wanted, *[""] * len(COLUMNS)])
        return
    numbers = [shown(result[field], form) for field, form in COLUMNS.values()]
    if result["margin kind"] == "estimated":
        numbers[list(COLUMNS).index("margin")] += " estimated"
    line([name, solver, f"{result['seconds']:.3f}", ratio, wanted, *numbers])


def machine() -> str:
    """Return the processor's name where the system tells, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores of which one is used"


def versions(modules: dict[str, ModuleType]) -> str:
    """Return the versions of flatmin, of what it stands on, and of what the competitors need."""
    needed = [package for module in modules.values() for package in getattr(module, "REQUIRES", ())]
    found = []
    for package in dict.fromkeys(["flatmin", "numpy", "scipy", *needed]):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def table(cases: list[Case], modules: dict[str, ModuleType]) -> None:
    """Run the cases of one family, with everyone who serves it, and print the table."""
    print(f"\n### {cases[0].family}\n")
    line(HEADER)
    print("|" + "---|" * len(HEADER))
    for case in cases:
        ours = run(case.solver, case.name)
        serving = [name for name, module in modules.items() if case.beside and case.family in module.FAMILIES]
        everyone = {name: run(name, case.name) for name in serving}
        draws = f", worst of {case.draws} draws" if case.draws > 1 else ""
        solver = "flatmin" if case.solver == "flatmin_" else f"flatmin, {case.solver.strip('_')}"
        row(case.name + draws, solver, ours, wanted=granted(case, ours, list(everyone.values())))
        for name, theirs in everyone.items():
            row("", name.replace("_", " "), theirs, *slower(ours, theirs, case.slower.get(name)))


def main(arguments: list[str]) -> None:
    """Print the tables of the families asked for, or of all."""
    families = list(dict.fromkeys(case.family for case in CASES.values()))
    asked = [argument for argument in arguments if argument not in ("--quick", "alone", "--alone")]
    if unknown := set(asked) - set(families):
        raise SystemExit(f"there is no family {', '.join(sorted(unknown))}, expected some of {', '.join(families)}")
    modules = competitors("--quick" in arguments)
    print(f"{platform.system()}, {machine()}; Python {platform.python_version()}; best of up to three runs")
    print(versions(modules))
    if {"alone", "--alone"} & set(arguments):
        modules = {}
    for family in asked or families:
        table([case for case in CASES.values() if case.family == family], modules)


if __name__ == "__main__":
    main(sys.argv[1:])
