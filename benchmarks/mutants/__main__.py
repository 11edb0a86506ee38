"""Try mutants of every format: ``python -m benchmarks.mutants [--mutants N] [--first SEED] [--only FORMAT]``.

The exit status is 1 if a command did anything else with a mutant than read it or refuse it in one sentence; each such
mutant is printed with its seed.
"""

import argparse
import sys
from collections import Counter
from functools import cache

import numpy as np

from benchmarks.mutants.corpus import FORMATS, Specimen, specimen
from benchmarks.mutants.mutations import mutant
from benchmarks.mutants.trial import fault_of, warm_up

#: Of so many mutants one has its pages written.
PAGES_EVERY = 20


def main() -> int:
    """Return 1 if any command failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=10_000, help="number of mutants of each format")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only")
    asked = parser.parse_args()
    faults = Counter[str]()
    for name in FORMATS:
        if asked.only in (None, name):
            for seed in range(asked.first, asked.first + asked.mutants):
                if fault := fault_of_seed(name, seed):
                    faults[name] += 1
                    print(f"{name}, seed {seed}: {fault}", flush=True)
            print(f"{name:<12} {asked.mutants:>6} mutants, {faults[name]:>4} faults", flush=True)
    print(f"{faults.total()} faults")
    return 1 if faults else 0


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
    return fault_of(valid, content, seed % PAGES_EVERY == 0)


if __name__ == "__main__":
    sys.exit(main())
