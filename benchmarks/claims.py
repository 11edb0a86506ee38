"""The claims of all experiments with their verdicts, as Markdown: ``python -m benchmarks.claims DIR_OR_STORE``.

It reads the stores of sweeps: ``flatmin sweep RECIPE --store DIR/RECIPE.db`` for all recipes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from flatmin.lab.pages.findings import Finding, in_words, kind_of, tally
from flatmin.lab.stored_evidence import read_stores

#: The words for verdicts in the first column.
VERDICTS = {"fails": "**fails**", "untested": "not tested"}


def main() -> None:
    """Read stores and print a table for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", metavar="DIR_OR_STORE")
    reading = read_stores(parser.parse_args().place)
    print("\n".join(line for evidence in reading.evidence for line in lines(Finding.from_evidence(evidence))))


def lines(finding: Finding) -> Iterator[str]:
    """Give the lines of one recipe: a heading, the count of verdicts, and a row for each claim."""
    evidence = finding.evidence
    yield f"### {evidence.name}\n"
    yield f"{evidence.experiment.title}. {len(evidence)} trials: {tally(finding.claims)}.\n"
    yield "| claim | found | verdict |\n|---|---|---|"
    for claim in finding.claims:
        found, _, _ = in_words(claim).partition(";")
        limit = f"at most {claim.below:.3g}" if claim.below is not None else f"at least {claim.above:.3g}"
        yield f"| {claim.text}: {limit} | {found} | {VERDICTS.get(kind_of(claim), kind_of(claim))} |"
    yield ""


if __name__ == "__main__":
    main()
