"""Verdicts of claims, and the intervals that decide them."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from flatmin.errors import InputError
from flatmin.lab.claims import Claim, interval, share_interval


def test_the_interval_is_students():
    values = np.random.default_rng(0).standard_normal(9)
    theirs = ttest_1samp(values, 0).confidence_interval(0.9)
    assert interval(values, 0.9) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_of_a_share_keeps_its_tails():
    from scipy.stats import binom

    low, high = share_interval(3, 20)
    assert binom.sf(2, 20, low) == pytest.approx(0.025)
    assert binom.cdf(3, 20, high) == pytest.approx(0.025)
    assert share_interval(0, 5)[0] == 0
    assert share_interval(5, 5)[1] == 1


def test_a_claim_holds_fails_or_waits():
    below = {"below": 1.0}
    assert Claim.from_mean("", [0.1, 0.2, 0.15], **below).verdict == "holds"
    assert Claim.from_mean("", [5.1, 5.2, 5.15], **below).verdict == "fails"
    assert Claim.from_mean("", [-50, 50, 0.1], **below).verdict == "undecided"
    assert Claim.from_mean("", [0.1], **below).verdict == "undecided"
    assert Claim.exact("", 2.0, above=1.0).verdict == "holds"
    assert Claim.exact("", 0.5, above=1.0).verdict == "fails"
    assert Claim.from_share("", [True] * 20, above=0.8).verdict == "holds"
    assert Claim.from_share("", [True] * 5, above=0.8).verdict == "undecided"
    assert Claim.exact("", math.nan, above=1.0).verdict == "undecided"
    with pytest.raises(InputError, match="expected one"):
        Claim.exact("", 1.0)
    with pytest.raises(InputError, match="expected one"):
        Claim.exact("", 1.0, above=0.0, below=2.0)


def test_a_claim_about_an_extreme_is_open_without_numbers():
    assert Claim.from_largest("", [1.0, 3.0], below=2).verdict == "fails"
    assert Claim.from_smallest("", [1.0, 3.0], above=0.5).verdict == "holds"
    for claim in (Claim.from_largest("", [], below=2), Claim.from_smallest("", [], above=2)):
        assert claim.verdict == "undecided"
        assert math.isnan(claim.estimate)
