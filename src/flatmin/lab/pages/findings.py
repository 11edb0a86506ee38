"""What evidence comes to: claims with verdicts, and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.evidence import Evidence
from flatmin.report.words import listed, number

if TYPE_CHECKING:
    from flatmin.lab.displays import Display

__all__ = ["VERDICTS", "Finding", "in_words", "kind_of", "tally"]

#: The three verdicts, and what they are called where one claim has them, where several have them, and in a heading.
VERDICTS = {
    "holds": ("holds", "hold", "Claims that hold"),
    "fails": ("fails", "fail", "Claims that fail"),
    "undecided": ("is undecided", "are undecided", "Undecided claims"),
}
#: The same for claims of which those that the evidence says nothing about are counted apart.
KINDS = VERDICTS | {"untested": ("is not tested here", "are not tested here", "Claims not tested here")}
#: Digits of a number that is read beside a limit: more where they are needed to see on which side it lies.
DIGITS = range(3, 10)
#: The share of trials that must have run: those that failed are missing from all other numbers.
RAN = 0.99


@dataclass(frozen=True)
class Finding:
    """The evidence of one recipe, judged and drawn.

    Attributes
    ----------
    evidence : Evidence
        Of the recipe.
    claims : tuple of Claim
        What the recipe makes of it, and the share of trials that ran, where some failed.
    displays : tuple of Display
        Its figures.
    trouble : tuple of str
        Why there are no claims or no figures, where the recipe refused.
    """

    evidence: Evidence
    claims: tuple[Claim, ...]
    displays: tuple[Display, ...]
    trouble: tuple[str, ...] = ()

    @classmethod
    def of(cls, evidence: Evidence) -> Finding:
        """Return what the recipe's ``judge`` and ``show`` make of the evidence.

        Where trials failed there is one more claim: that hardly any did.
        """
        recipe, trouble = evidence.experiment, []
        claims: list[Claim] = []
        displays: Sequence[Display] = ()
        try:
            claims += recipe.judge(evidence)
        except InputError as error:
            trouble.append(f"The claims could not be judged: {error}.")
        if evidence.failed:
            ran = [True] * len(evidence) + [False] * len(evidence.failed)
            claims.append(Claim.of_share("Of all trials, the share that ran to the end", ran, above=RAN))
        try:
            displays = recipe.show(evidence)
        except InputError as error:
            trouble.append(f"The figures could not be drawn: {error}.")
        return cls(evidence, tuple(claims), tuple(displays), tuple(trouble))

    @property
    def holds(self) -> bool | None:
        """Whether all claims hold (True), one fails (False), or neither is so (None)."""
        found = {claim.verdict for claim in self.claims}
        return False if "fails" in found else True if found == {"holds"} else None


def kind_of(claim: Claim) -> str:
    """Return the verdict, or "untested" where the evidence says nothing: there is no number that could decide it."""
    return "untested" if claim.verdict == "undecided" and claim.estimate != claim.estimate else claim.verdict


def tally(claims: Sequence[Claim]) -> str:
    """Return how many claims hold, fail and are undecided, and how many the evidence says nothing about.

    Examples
    --------
    >>> claims = [Claim.exact("the trace", x, below=2) for x in (1, 1, 3)]
    >>> tally(claims), tally(claims[:1]), tally([])
    ('2 claims hold and 1 fails', '1 claim holds', 'there is no claim')
    >>> tally([*claims, Claim.open("the share", above=0.75)])
    '2 claims hold, 1 fails and 1 is not tested here'
    """
    counts = Counter(kind_of(claim) for claim in claims)
    said = [f"{counts[verdict]} {words[counts[verdict] > 1]}" for verdict, words in KINDS.items() if counts[verdict]]
    if not said:
        return "there is no claim"
    first, _, rest = said[0].partition(" ")
    return listed([f"{first} claim{'s' if first != '1' else ''} {rest}", *said[1:]])


def in_words(claim: Claim) -> str:
    """Return the number of a claim, its interval and the limit.

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
