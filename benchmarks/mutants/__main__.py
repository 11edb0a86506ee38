"""Try mutants of every format: ``python -m benchmarks.mutants [--mutants N] [--first SEED] [--only FORMAT]``.

The exit status is 1 if a command did anything else with a mutant than read it or refuse it in one sentence; each such
mutant is printed with its seed. With ``--page`` the table also goes into that document.
"""

import argparse
import sys
from collections.abc import Collection
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.markdown import cells, replace_block
from benchmarks.mutants.corpus import FORMATS, Specimen, specimen
from benchmarks.mutants.mutations import mutant
from benchmarks.mutants.trial import Outcome, outcomes, warm_up

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
    head = ("format", "mutants", "refused", "faults", "slowest refusal", "slowest command")
    rows, tried = [cells(head), cells(["---", *["--:"] * 5])], []
    for name in FORMATS:
        if asked.only in (None, name):
            found = outcomes_of_seeds(name, range(asked.first, asked.first + asked.mutants))
            for seed, outcome in found.items():
                if outcome.fault:
                    print(f"{name}, seed {seed}: {outcome.fault}", flush=True)
            rows.append(cells([name, *_summary(found.values())]))
            print(rows[-1], flush=True)
            tried += found.values()
    rows.append(cells(["**all**", *_summary(tried)]))
    print(rows[-1])
    if asked.page and not replace_block(asked.page, BLOCK, "\n".join(rows)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    return 1 if any(outcome.fault for outcome in tried) else 0


def _summary(tried: Collection[Outcome]) -> list[str]:
    """Return the numbers of mutants, refusals and faults, and the largest processor times."""
    refused = [outcome.seconds for outcome in tried if outcome.status == 2]
    faults = sum(outcome.fault is not None for outcome in tried)
    counts = [f"{count:,}".replace(",", " ") for count in (len(tried), len(refused), faults)]
    slowest = max((outcome.seconds for outcome in tried), default=0.0)
    return [*counts, *(f"{seconds:.2f} s" for seconds in (max(refused, default=0.0), slowest))]


@cache
def _ready(name: str) -> Specimen:
    """Return the specimen of a format, after its command has run once."""
    valid = specimen(name)
    warm_up(valid)
    return valid


def outcomes_of_seeds(name: str, seeds: range) -> dict[int, Outcome]:
    """Return what the command of a format did with the mutants of seeds."""
    valid, found = _ready(name), {}
    for thorough, group in groupby(seeds, lambda seed: seed % THOROUGH_EVERY == 0):
        several = list(group)
        contents = [_content(name, valid, seed) for seed in several]
        found |= dict(zip(several, outcomes(valid, contents, thorough), strict=True))
    return found


def _content(name: str, valid: Specimen, seed: int) -> bytes:
    return mutant(valid.files[valid.victim], np.random.default_rng([seed, *name.encode()]))


if __name__ == "__main__":
    sys.exit(main())
