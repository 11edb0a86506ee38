"""Attack certificates: ``python -m benchmarks.adversary [--minutes M | --seeds N] [--first SEED] [--only NAME]``.

All attacks get the same time. The exit status is 1 if a certificate claims something false or an attack raises an
exception; each is printed with its seed. With ``--page`` the table also goes into that document. Ctrl-C ends the
attacks and prints the table.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.adversary import Verdict, attacks
from benchmarks.markdown import cells, replace_block

__all__ = ["Record", "run", "table"]

BLOCK = "adversary"


@dataclass
class Record:
    """What one attack met so far: numbers of seeds and certificates, sentences with seeds, and seconds."""

    attack: Callable[[int], Verdict]
    seeds: int = 0
    certificates: int = 0
    held: int = 0
    false: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def attempt(self, seed: int) -> str | None:
        """Attack with a seed, and return a sentence about a false claim or a crash."""
        start, sentence = time.process_time(), None
        try:
            verdict = self.attack(seed)
        except Exception:
            sentence = f"seed {seed} crashed: {traceback.format_exc()}"
            self.crashes.append(sentence)
        else:
            self.certificates += verdict.certificates
            self.held += verdict.held
            if verdict.false_claim is not None:
                sentence = f"seed {seed}: {verdict.false_claim}"
                self.false.append(sentence)
        spent = time.process_time() - start
        self.seeds, self.seconds, self.slowest = self.seeds + 1, self.seconds + spent, max(self.slowest, spent)
        return sentence


def run(records: dict[str, Record], first: int, seeds: float, seconds: float) -> None:
    """Attack until every attack has had so many seeds, or until so many seconds of processor time are spent."""
    while sum(record.seconds for record in records.values()) < seconds:
        waiting = [name for name, record in records.items() if record.seeds < seeds]
        if not waiting:
            break
        name = min(waiting, key=lambda name: records[name].seconds)
        if sentence := records[name].attempt(first + records[name].seeds):
            print(f"{name}, {sentence}", flush=True)


def table(records: dict[str, Record]) -> str:
    """Return a table with a row for each attack and one for all of them."""
    titles = ("attack", "problems", "certificates", "that held", "false claims", "crashes", "slowest problem")
    rows = [cells(titles), cells(["---", *["--:"] * (len(titles) - 1)])]
    counts = {
        name.replace("_", " "): (r.seeds, r.certificates, r.held, len(r.false), len(r.crashes), r.slowest)
        for name, r in records.items()
    }
    columns = list(zip(*counts.values(), strict=True))
    counts["**all**"] = (*(sum(column) for column in columns[:-1]), max(columns[-1]))
    for name, (*numbers, slowest) in counts.items():
        rows.append(cells([name, *(f"{number:,}".replace(",", " ") for number in numbers), f"{slowest:.2f} s"]))
    return "\n".join(rows)


def main() -> int:
    """Return 1 if any claim is false or any attack crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="minutes of processor time")
    parser.add_argument("--seeds", type=int, help="attack with so many seeds, however long it takes")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument(
        "--page", type=Path, help="a document with the marks <!-- adversary --> and <!-- /adversary -->"
    )
    asked = parser.parse_args()
    records = {name: Record(attack) for name, attack in attacks().items() if asked.only in (None, name)}
    if not records:
        parser.error(f"there is no attack {asked.only!r}, expected one of {', '.join(attacks())}")
    limits = (float("inf"), 60 * asked.minutes) if asked.seeds is None else (asked.seeds, float("inf"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        run(records, asked.first, *limits)
    print(table(records))
    if asked.page and not replace_block(asked.page, BLOCK, table(records)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    return 1 if any(record.false or record.crashes for record in records.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
