"""The report of all benchmarks: runs the missing cases of flatmin and its competitors, then writes tables and plots.

python benchmarks/report.py                     runs what is missing, then README.md, docs/performance.md, docs/images/
python benchmarks/report.py [FAMILY …]          the families named; --list prints them
python benchmarks/report.py --quick             without the slowest competitors and without growth
python benchmarks/report.py --again NAME …      first deletes the results of these solvers or families, or "all"
python benchmarks/report.py --no-run            only writes the results in results/
python benchmarks/report.py --no-write          leaves documents and images unchanged

The family "kernels" is the output of benchmarks/kernels.py: loops against the limits of the machine, and a large solve.

Each run uses benchopt (``benchopt run benchmarks/completion -s flatmin -d gaussian`` starts one by hand), in a process
of its own, with one thread unless the case says otherwise. Results are stored in ``benchmarks/results/runs.jsonl`` at
once, so that a second call continues an interrupted one.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if sys.path[0] == str(ROOT / "benchmarks"):  # a script's own directory would hide packages of the same name
    sys.path[0] = str(ROOT)

from benchmarks.markdown import cells, line, machine, mark, processor, replace_block, versions  # noqa: E402

__all__ = ["cells", "line", "machine", "main", "mark"]

#: Names of the markers around the tables of all cases, of the headlines, and of loops.
MARKER, HEADLINES, MACHINE = "performance", "headlines", "kernels"
SHORT, LONG = ROOT / "README.md", ROOT / "docs" / "performance.md"
#: The headlines that the README has, by the beginning of "family: case".
FRONT = ("completion: 10k×10k", "robust PCA: 1000×1000", "dense: sensing 60×50")
PACKAGES = (
    "flatmin", "numpy", "scipy", "numba", "cvxpy", "scs", "clarabel", "pymanopt", "tensorly", "pyrpca", "cmfrec",
    "implicit", "pyspark", "scikit-learn", "benchopt",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    from benchmarks import growth, plan, ratios
    from benchmarks.runs import Book

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args(arguments)
    known = (*plan.FAMILIES, growth.FAMILY, MACHINE)
    if given.list:
        print("\n".join(known))
        return 0
    if unknown := set(given.families) - set(known):
        parser.error(f"there is no family {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
    book, families = Book(), given.families or known
    cases = [case for case in plan.CASES if case.family in families]
    if not given.no_run:
        wanted = [run for case in cases for run in case.runs(given.quick).values()]
        if growth.FAMILY in families and not given.quick:
            wanted += growth.runs()
        if MACHINE in families:
            wanted += plan.PRINTED[:1] if given.quick else plan.PRINTED
        forget(book, given.again, cases)
        carry_out(wanted, book)
    for family in dict.fromkeys(case.family for case in cases):
        table = ratios.family_table(family, (case for case in cases if case.family == family), book, given.quick)
        print(f"\n### {family}\n\n{table}")
    for missed in ratios.misses(cases, book):
        print(f"missed: {missed}")
    if not given.no_write:
        write(book)
    return 0


def forget(book, names: list[str], cases) -> None:
    """Delete results from the book so that they are run again: by family, by the name of a solver, or all."""
    families = {run.key for case in cases if case.family in names for run in case.runs().values()}
    for key in list(book.records):
        if "all" in names or key in families or key[2] in names or key[2].partition("[")[0] in names or key[0] in names:
            del book.records[key]


def carry_out(wanted, book) -> None:
    """Make the runs that are missing from the book, and print how long each took."""
    from benchmarks.runs import perform

    missing = list({run.key: run for run in wanted if run not in book}.values())
    for count, run in enumerate(missing, 1):
        start = time.perf_counter()
        result = perform(run)
        book.write(run, result)
        outcome = result.get("failure") or result.get("skipped") or "done"
        name, spent = f"{run.benchmark} {run.dataset} {run.solver}", time.perf_counter() - start
        print(f"[{count}/{len(missing)}] {name}: {outcome}, {spent:.0f} s", file=sys.stderr, flush=True)
    if missing:
        book.tidy()


def write(book) -> None:
    """Write the tables into their documents, and draw the growth of time and memory."""
    from benchmarks import growth, plan, ratios

    dates = sorted({record["date"] for record in book.records.values()})
    where = sorted({record["processor"] for record in book.records.values()}) or [processor()]
    caption = (
        f"{platform.system()}, {', '.join(where)}, one core unless noted; Python {platform.python_version()}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1]))) if dates else 'nothing measured'}; "
        f"`python benchmarks/report.py`"
    )
    exponents = growth.draw(book)
    front = [case for case in plan.CASES if f"{case.family}: {case.name}".startswith(FRONT)]
    short, headlines = (f"{ratios.short_table(cases, book)}\n\n{caption}." for cases in (front, plan.CASES))
    parts = [f"{caption}. {versions(PACKAGES)}."]
    for family in plan.FAMILIES:
        cases = [case for case in plan.CASES if case.family == family]
        parts.append(f"### {family[0].upper()}{family[1:]}\n\n{ratios.family_table(family, cases, book)}")
    parts.append(exponents)
    long, reached = "\n\n".join(parts), f"{printed(book)}\n\n{caption}."
    texts = ((SHORT, MARKER, short), (LONG, HEADLINES, headlines), (LONG, MARKER, long), (LONG, MACHINE, reached))
    for file, marker, text in texts:
        if not replace_block(file, marker, text):
            print(f"{file.name} has no <!-- {marker} --> … <!-- /{marker} -->", file=sys.stderr)


def printed(book) -> str:
    """Return the output of benchmarks/kernels.py, or the reason why there is none."""
    from benchmarks import plan

    parts = []
    for run in plan.PRINTED:
        record = book[run]
        command = f"python -m benchmarks.kernels {run.dataset}".strip()
        parts.append(record.get("text") or f"`{command}`: {record.get('failure', 'not run')}.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
