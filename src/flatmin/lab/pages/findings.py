"""Findings: the claims and figures that a recipe derives from its results, and the verdicts in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.report.words import listed, number

__all__ = ["KINDS", "Finding", "Kind", "in_words", "kind_of", "tally"]


class Kind(NamedTuple):
    """How the page names claims with one verdict, and whether such claims hold (None: not known)."""

    one: str
    several: str
    heading: str
    label: str
    holds: bool | None = None


#: Words for the claims of each verdict. A claim is "untested", not "undecided", if the results give it no number.
KINDS = {
    "holds": Kind("holds", "hold", "Claims that hold", "Holds", True),
    "fails": Kind("fails", "fail", "Claims that fail", "Fails", False),
    "undecided": Kind("is undecided", "are undecided", "Undecided claims", "Undecided"),
    "untested": Kind("is not tested here", "are not tested here", "Claims not tested here", "Not tested here"),
}
#: Possible numbers of significant digits of a number and its limit. The smallest one with which the two differ is used.
DIGITS = range(3, 10)
#: The claim about failures holds if at least this share of the trials ran to the end.
FINISHED_SHARE = 0.99


@dataclass(frozen=True)
class Finding:
    """The claims and figures that a recipe derives from its results.

    ``recipe`` has the grid of these results. If trials failed, ``claims`` also has the claim that at least 99 % ran to
    the end, because failed trials are missing from all other numbers. ``trouble`` has the errors that prevented claims
    or figures.
    """

    recipe: Recipe
    evidence: Evidence
    claims: tuple[Claim, ...]
    displays: tuple[Display, ...]
    trouble: tuple[str, ...] = ()

    @classmethod
    def from_evidence(cls, evidence: Evidence) -> Finding:
        """Judge the claims and compute the figures. An experiment that is not a `Recipe` raises `InputError`."""
        recipe, trouble = evidence.experiment, []
        if not isinstance(recipe, Recipe):
            raise InputError(f"the experiment {recipe.name} has no claims, expected a Recipe")
        claims: list[Claim] = []
        displays: Sequence[Display] = ()
        try:
            claims += recipe.judge(evidence)
        except InputError as error:
            trouble.append(f"The claims could not be judged: {error}.")
        if evidence.failed:
            ran = [True] * len(evidence) + [False] * len(evidence.failed)
            claims.append(Claim.from_share("Of all trials, the share that ran to the end", ran, above=FINISHED_SHARE))
        try:
            displays = recipe.show(evidence)
        except InputError as error:
            trouble.append(f"The figures could not be drawn: {error}.")
        return cls(recipe, evidence, tuple(claims), tuple(displays), tuple(trouble))

    @property
    def name(self) -> str:
        """The name of the recipe."""
        return self.recipe.name

    @property
    def size(self) -> int:
        """The number of trials, including failed ones."""
        return len(self.evidence) + len(self.evidence.failed)

    def count(self, kind: str) -> int:
        """Return the number of claims of this kind."""
        return sum(kind_of(claim) == kind for claim in self.claims)

    @property
    def holds(self) -> bool | None:
        """True if all claims hold, False if one fails, and None otherwise."""
        found = {claim.verdict for claim in self.claims}
        return False if "fails" in found else True if found == {"holds"} else None


def kind_of(claim: Claim) -> str:
    """Return the verdict, or "untested" if the evidence gives no number that could decide the claim."""
    return "untested" if claim.verdict == "undecided" and claim.estimate != claim.estimate else claim.verdict


def tally(claims: Sequence[Claim]) -> str:
    """Return in words how many claims there are of each kind.

    Examples
    --------
    >>> claims = [Claim.exact("the trace", x, below=2) for x in (1, 1, 3)]
    >>> tally(claims), tally(claims[:1]), tally([])
    ('2 claims hold and 1 fails', '1 claim holds', 'there is no claim')
    >>> tally([*claims, Claim.open("the share", above=0.75)])
    '2 claims hold, 1 fails and 1 is not tested here'
    """
    counts = Counter(kind_of(claim) for claim in claims)
    parts = [f"{counts[kind]} {KINDS[kind][counts[kind] > 1]}" for kind in KINDS if counts[kind]]
    if not parts:
        return "there is no claim"
    first, _, rest = parts[0].partition(" ")
    return listed([f"{first} claim{'s' if first != '1' else ''} {rest}", *parts[1:]])


def in_words(claim: Claim) -> str:
    """Return the number of a claim, its interval and its limit in words.

    Examples
    --------
    >>> in_words(Claim("the share", 0.91, 0.8, 0.97, above=0.75))
    '0.91, interval 0.8 to 0.97; expected at least 0.75.'
    >>> in_words(Claim.exact("the trace", 2.00004, below=2))
    '2.00004; expected at most 2.'
    >>> in_words(Claim.open("the share", above=0.75))
    'not known from these trials; expected at least 0.75.'
    """
    limit, side = (claim.below, "at most") if claim.below is not None else (claim.above, "at least")
    assert limit is not None
    numbers = [value for value in (claim.estimate, claim.low, claim.high) if value != limit]
    digits = next((d for d in DIGITS if number(limit, d) not in {number(value, d) for value in numbers}), DIGITS[-1])
    expected = f"expected {side} {number(limit, digits)}."
    estimate, low, high = (number(value, digits) for value in (claim.estimate, claim.low, claim.high))
    if claim.estimate != claim.estimate:
        return f"not known from these trials; {expected}"
    if claim.low == claim.high:
        return f"{estimate}; {expected}"
    bounds = {(False, False): "without bounds", (True, False): f"from {low} on", (False, True): f"up to {high}"}
    known = abs(claim.low) < float("inf"), abs(claim.high) < float("inf")
    return f"{estimate}, interval {bounds.get(known, f'{low} to {high}')}; {expected}"
