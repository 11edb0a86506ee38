"""Findings: claims and their verdicts in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flatmin.lab import Evidence, Result
from flatmin.lab.claims import Claim
from flatmin.lab.pages.findings import Finding, in_words, tally
from flatmin.lab.pages.page import experiments_page
from tests.lab.experiments import known, recipe_of
from tests.lab.findings import of_curves, of_nothing


def judged(*values, of=None):
    """Return the page's finding with claims that values lie below 2, and that None does; a pair is an interval."""
    intervals = [v if isinstance(v, tuple) else (np.nan, -np.inf, np.inf) if v is None else (v, v, v) for v in values]
    claims = tuple(Claim("the value", *(v if len(v) == 3 else (sum(v) / 2, *v)), below=2) for v in intervals)
    return replace(of or Finding.from_evidence(of_nothing()), claims=claims)


@pytest.mark.parametrize(
    ("values", "outcome", "advice"),
    [
        ((1.0, 1.0), "all hold", ""),
        ((1.0, 3.0, 3.0), "2 of 3 fail", "Fails: lost (2 claims of 3)."),
        (((1.0, 3.0), 1.0), "1 of 2 undecided", "Undecided: lost (1 claim of 2)."),
        ((None, 1.0, 1.0), "1 of 3 not tested", "Not tested here: lost (1 claim of 3)."),
        ((3.0, (1.0, 3.0)), "1 of 2 fails", "Fails: lost (1 claim of 2). Undecided: lost (1 claim of 2)."),
    ],
)
def test_what_fails_is_undecided_and_is_not_tested_is_told_apart_and_counted(values, outcome, advice):
    page = experiments_page([judged(*values)])
    several = experiments_page([judged(*values), Finding.from_evidence(of_curves())])
    assert several.sections[0].overview.lines[0].cells[0] == outcome
    assert page.verdict.advice == f"{advice} 2 trials failed and count for nothing.".lstrip()
    counts = {fact.name: int(fact.value) for fact in page.highlights[:4]}
    assert list(counts) == ["Claims that hold", "Claims that fail", "Undecided claims", "Claims not tested here"]
    assert list(counts.values()) == [values.count(1.0), values.count(3.0), values.count((1.0, 3.0)), values.count(None)]


def test_failed_trials_are_a_claim_of_their_own():
    recipe = recipe_of(known, count=1000)
    trials = list(recipe.trials())

    def claims(failed):
        reasons = ["MemoryError: no memory"] * failed + [None] * (len(trials) - failed)
        results = [Result(trial, {}, 1.0, reason) for trial, reason in zip(trials, reasons, strict=True)]
        return Finding.from_evidence(Evidence(recipe, results)).claims

    assert claims(0) == ()
    found = {failed: claims(failed)[0] for failed in (1, 8, 25, 1000)}
    assert [claim.verdict for claim in found.values()] == ["holds", "undecided", "fails", "fails"]
    assert [claim.estimate for claim in found.values()] == pytest.approx([0.999, 0.992, 0.975, 0.0])
    assert {claim.above for claim in found.values()} == {0.99}
    (failing,) = (claim for claim in Finding.from_evidence(of_curves()).claims if claim.above == 0.99)
    assert failing.estimate == 41 / 45


def test_numbers_are_as_long_as_it_takes_to_see_on_which_side_of_the_limit_they_are():
    assert in_words(Claim("x", 0.99996, 0.99994, 0.99998, above=1)) == (
        "0.99996, interval 0.99994 to 0.99998; expected at least 1."
    )
    assert in_words(Claim("x", 3.0, -np.inf, np.inf, below=1)) == "3, interval without bounds; expected at most 1."
    assert in_words(Claim("x", 3.0, 2.0, np.inf, below=1)) == "3, interval from 2 on; expected at most 1."
    assert in_words(Claim("x", 3.0, -np.inf, 5.0, below=1)) == "3, interval up to 5; expected at most 1."
    assert tally([Claim.open("x", below=1)] * 2) == "2 claims are not tested here"
    assert tally([Claim("x", 1.0, 0.0, 2.0, below=1)] * 2) == "2 claims are undecided"
