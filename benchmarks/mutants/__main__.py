"""Try mutants of every format: ``python -m benchmarks.mutants [--mutants N] [--first SEED] [--only FORMAT]``.

The exit status is 1 if a command did anything else with a mutant than read it or refuse it in one sentence; each such
mutant is printed with its seed. With ``--page`` the table also goes into that document.
"""

import argparse
import os
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.markdown import cells, replace_block
from benchmarks.mutants.corpus import FORMATS, Specimen, specimen
from benchmarks.mutants.mutations import mutant
from benchmarks.mutants.trial import fault_of, warm_up

BLOCK = "mutants"
#: Of so many mutants one has its pages written and methods compared.
THOROUGH_EVERY = 20


def main() -> int:
    """Return 1 if any command failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=10_000, help="number of mutants of each format")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--page", type=Path, help=f"a document with the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    asked = parser.parse_args()
    rows = [cells(["format", "mutants", "faults", "slowest command"]), cells(["---", *["--:"] * 3])]
    counts, worst, n = Counter[str](), 0.0, 0
    for name in FORMATS:
        if asked.only in (None, name):
            slowest = 0.0
            for seed in range(asked.first, asked.first + asked.mutants):
                before = os.times()
                fault = fault_of_seed(name, seed)
                slowest, n = max(slowest, _spent(before, os.times())), n + 1
                if fault:
                    counts[name] += 1
                    print(f"{name}, seed {seed}: {fault}", flush=True)
            rows.append(cells([name, asked.mutants, counts[name], f"{slowest:.2f} s"]))
            print(rows[-1], flush=True)
            worst = max(worst, slowest)
    rows.append(cells(["**all**", f"{n:,}".replace(",", " "), counts.total(), f"{worst:.2f} s"]))
    print(rows[-1])
    if asked.page and not replace_block(asked.page, BLOCK, "\n".join(rows)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    return 1 if counts else 0


def _spent(before: os.times_result, after: os.times_result) -> float:
    """Return the processor time of the processes that ended in between."""
    return after.children_user + after.children_system - before.children_user - before.children_system


@cache
def _ready(name: str) -> Specimen:
    """Return the specimen of a format, after its command has run once."""
    valid = specimen(name)
    warm_up(valid)
    return valid


def fault_of_seed(name: str, seed: int) -> str | None:
    """Return what a command did wrong with the mutant of a format and a seed, or None."""
    valid = _ready(name)
    content = mutant(valid.files[valid.victim], np.random.default_rng([seed, *name.encode()]))
    return fault_of(valid, content, seed % THOROUGH_EVERY == 0)


if __name__ == "__main__":
    sys.exit(main())
