"""Robustness: what the tables of attacks, faults, load and the installation found, in one table with their commands.

``python -m benchmarks.robustness`` prints the table and writes it into docs/attacks.md, from the tables of that page
and of docs/stability.md. tests/benchmarks/test_robustness.py fails if they disagree.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.markdown import cells, replace_block

__all__ = ["BLOCK", "PAGE", "block", "table"]

BLOCK = "robustness"
DOCS = Path(__file__).parents[1] / "docs"
PAGE, INSTALLED = DOCS / "attacks.md", DOCS / "stability.md"
LINK = "stability.md#systems-and-versions"


def block(name: str) -> str:
    """Return what stands between two marks of the page."""
    return PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def _rows(text: str) -> dict[str, list[str]]:
    """Return the rows of all tables of a text, by their first cells."""
    found = (re.split(r"\s*\|\s*", row.strip("| ")) for row in text.splitlines() if row.startswith("| "))
    return {first: rest for first, *rest in found}


def _number(cell: str) -> int:
    return int(re.sub(r"\D", "", cell))


def figures() -> Iterator[tuple[str, str, str]]:
    """Yield what was measured, the figures, and the command that measures them."""
    proofs, files, faults, load = map(_rows, map(block, ("adversary", "mutants", "faults", "load")))
    installed = _rows(INSTALLED.read_text("utf-8"))
    _, tried, held, false, crashes, _ = proofs["**all**"]
    yield (
        "certificates",
        f"{tried} tried, of which {held} held; false claims: {false}; crashes: {crashes}",
        "python -m benchmarks.adversary --minutes 20",
    )
    mutants, _, wrong, slowest, _ = files["**all**"]
    yield (
        "damaged files",
        f"{mutants} tried; tracebacks, hangs and other faults: {wrong}",
        "python -m benchmarks.mutants --mutants 345",
    )
    yield "slowest refusal", f"{slowest} of processor time", "python -m benchmarks.mutants --mutants 345"
    kills = [row for name, row in faults.items() if name.startswith("SIGKILL of")]
    others = [row for name, row in faults.items() if not name.startswith(("SIGKILL", "fault", "---"))]
    yield (
        "kills",
        f"{sum(_number(row[0]) for row in kills)}; outputs or trials lost: {sum(_number(row[1]) for row in kills)}",
        "python -m benchmarks.faults --kills 200",
    )
    lost = sum(_number(row[1]) for row in others)
    yield "other faults", f"{len(others)} conditions; losses: {lost}", "python -m benchmarks.faults --kills 200"
    growths = [(_number(row[1]), name) for name, row in load.items() if row[-1].endswith("KiB")]
    yield (
        "growth of memory in 1000 calls",
        f"at most {max(growths)[0]} KiB, by {max(growths)[1]}",
        "python -m benchmarks.load",
    )
    callers = [f"{row[2]} ({name})" for name, row in load.items() if name.endswith(("threads", "processes"))]
    yield "99th percentile of `predict` and `transform`", ", ".join(callers), "python -m benchmarks.load"
    for name, row in (
        ("size of an installation", next(row for key, row in installed.items() if key.startswith("size of all"))),
        ("import of flatmin", installed["`import flatmin`"]),
        ("first fit of a large table", installed["first fit of a large table after the installation"]),
        ("the same fit in later processes", installed["the same fit in later processes"]),
    ):
        yield name, row[0], "python -m release.figures"
    systems = [row for row in INSTALLED.read_text("utf-8").splitlines() if row.startswith("| Linux |")]
    versions = sorted({row.split(" | ")[1] for row in systems if "not yet" not in row})
    yield "versions of Python tested, on Linux", f"{', '.join(versions)}; [all systems]({LINK})", ".ci/run"


def table() -> str:
    """Return the table."""
    rows = [cells(["what", "figures", "command"]), cells(["---"] * 3)]
    return "\n".join([*rows, *(cells([name, found, f"`{command}`"]) for name, found, command in figures())])


def main() -> None:
    print(table())
    if not replace_block(PAGE, BLOCK, table()):
        raise SystemExit(f"{PAGE} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")


if __name__ == "__main__":
    main()
