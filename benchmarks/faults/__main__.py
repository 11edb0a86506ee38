"""Try faults: ``python -m benchmarks.faults [--kills N] [--first SEED] [--only NAME] [--page FILE]``.

N kills are shared among the commands; then every other condition is tried once. The exit status is 1 if anything was
lost or ended otherwise than it should; each such fault is printed. With ``--page`` the table also goes into that
document.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.faults.conditions import CONDITIONS
from benchmarks.faults.kills import CELLS, JOBS, RECIPE, TABLE
from benchmarks.markdown import cells, replace_block

BLOCK = "faults"


def tried(name: str) -> str | None:
    """Try a condition in a new folder, and return a sentence about a fault."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        folder.mkdir()
        (folder / "t.csv").write_text(TABLE)
        (folder / "x.mtx").write_text(CELLS)
        (folder / "r.toml").write_text(RECIPE)
        return CONDITIONS[name](folder)


def main() -> int:
    """Return 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--page", type=Path, help=f"a document with the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    asked = parser.parse_args()
    rows, total = [cells(["fault", "tried", "losses"]), cells(["---", "--:", "--:"])], 0

    def add(name: str, number: int, faults: list[str]) -> None:
        nonlocal total
        total += len(faults)
        rows.append(cells([name, number, len(faults)]))
        print(rows[-1], *faults, sep="\n", flush=True)

    jobs = [job for name, job in JOBS.items() if asked.only in (None, name)]
    for index, job in enumerate(jobs):
        seeds = range(asked.first + index, asked.first + asked.kills, len(jobs))
        found = [(seed, job.killed(np.random.default_rng(seed))) for seed in seeds]
        add(f"SIGKILL of `{job.name}`", len(seeds), [f"seed {seed}: {fault}" for seed, fault in found if fault])
        add(f"`{job.name}` again after a kill", 1, [fault for fault in (job.goes_on(),) if fault])
    for name in CONDITIONS:
        if asked.only in (None, name):
            sentence = (CONDITIONS[name].__doc__ or "").partition(".")[0]
            add(sentence, 1, [fault for fault in (tried(name),) if fault])
    if asked.page and not replace_block(asked.page, BLOCK, "\n".join(rows)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    print(f"{total} faults")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
