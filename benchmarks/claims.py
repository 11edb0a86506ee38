"""The parts of docs/claims.md that results decide: ``python -m benchmarks.claims DIR_OR_STORE [--write]``.

It reads the stores of sweeps: ``flatmin sweep RECIPE --store DIR/RECIPE.db`` for all recipes. For each recipe it prints
the verdicts, the claims that fail, the pictures of docs/images that are named after the recipe, and, folded
away, all claims with their numbers. With --write these parts replace those of the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.markdown import cells, replace_block
from flatmin.lab.claims import Claim
from flatmin.lab.pages.findings import Finding, in_words, kind_of, tally
from flatmin.lab.pages.settings import size_of
from flatmin.lab.stored_evidence import read_stores

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "claims.md"
#: The words for verdicts in the table of all claims.
VERDICTS = {"fails": "**fails**", "untested": "not tested"}


def main() -> int:
    """Read stores and print the part of each recipe, or put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", metavar="DIR_OR_STORE")
    parser.add_argument("--write", action="store_true", help="put the parts into docs/claims.md")
    given = parser.parse_args()
    absent = []
    for evidence in read_stores(given.place).evidence:
        finding = Finding.from_evidence(evidence)
        text = "\n".join(lines(finding))
        if not given.write:
            print(f"<!-- {marker(finding.name)} -->\n{text}\n<!-- /{marker(finding.name)} -->\n")
        elif not replace_block(PAGE, marker(finding.name), text):
            absent.append(finding.name)
    if absent:
        print(
            f"{PAGE.name} has no part for {', '.join(absent)}, expected <!-- {marker(absent[0])} -->", file=sys.stderr
        )
    return int(bool(absent))


def marker(name: str) -> str:
    """Return the name of the markers around the part of a recipe."""
    return f"claims {name}"


def lines(finding: Finding) -> Iterator[str]:
    """Give the lines of one recipe: verdicts, failing claims, pictures, and a folded table of all claims."""
    counts = tally(finding.claims)
    yield f"**Verdict** (`{finding.name}`, {size_of(finding.evidence)}): {counts}.\n"
    failing = [claim for claim in finding.claims if kind_of(claim) == "fails"]
    if failing:
        yield (
            "\n".join(f"- *Fails*: {claim.text}: {found(claim)}, expected {limit(claim)}." for claim in failing) + "\n"
        )
    title = finding.evidence.experiment.title
    pictures = DOCS / "images"
    for image in sorted([*pictures.glob(f"{finding.name}.svg"), *pictures.glob(f"{finding.name}-*.svg")]):
        yield f"![{title}](images/{image.name})\n"
    yield f"<details><summary>All claims with their numbers</summary>\n\n{title}.\n"
    yield "| claim | expected | found | verdict |\n|---|---|---|---|"
    for claim in finding.claims:
        yield cells([claim.text, limit(claim), found(claim), VERDICTS.get(kind_of(claim), kind_of(claim))])
    yield "\n</details>"


def found(claim: Claim) -> str:
    """Return the number of a claim with its interval."""
    return in_words(claim).partition(";")[0]


def limit(claim: Claim) -> str:
    """Return the limit of a claim and its side."""
    return f"at most {claim.below:.3g}" if claim.below is not None else f"at least {claim.above:.3g}"


if __name__ == "__main__":
    sys.exit(main())
