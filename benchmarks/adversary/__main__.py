"""Run all attacks in turn: ``python -m benchmarks.adversary [--seconds S | --seeds N] [--first SEED] [--only NAME]``.

The exit status is 1 if a certificate claims something false; each such claim is printed with its seed.
"""

import argparse
import itertools
import sys
import time
from collections import Counter

from benchmarks.adversary import attacks


def main() -> int:
    """Return 1 if any claim is false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seeds", type=int, help="attack with so many seeds, however long it takes")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only")
    asked = parser.parse_args()
    chosen = {name: attack for name, attack in attacks().items() if asked.only in (None, name)}
    tried, held, false = Counter[str](), Counter[str](), 0
    end = time.monotonic() + (asked.seconds if asked.seeds is None else float("inf"))
    seeds = itertools.count(asked.first) if asked.seeds is None else range(asked.first, asked.first + asked.seeds)
    for seed in seeds:
        for name, attack in chosen.items():
            verdict = attack(seed)
            tried[name] += 1
            held[name] += verdict.held
            if verdict.false_claim is not None:
                false += 1
                print(f"{name}, seed {seed}: {verdict.false_claim}", flush=True)
        if time.monotonic() > end or not chosen:
            break
    for name in chosen:
        print(f"{name:<24} {tried[name]:>6} attacks, {held[name]:>6} certificates held")
    print(f"{false} false claims")
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
