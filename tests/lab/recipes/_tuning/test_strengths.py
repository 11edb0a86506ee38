"""The strengths that methods try, and ratios of errors on the same draws."""

import numpy as np

from flatmin.lab import Evidence, Result, Trial
from flatmin.lab.recipes._tuning.methods import METHODS
from flatmin.lab.recipes._tuning.strengths import REGRESSION, claim_of_ratio_of_errors, tried
from tests.lab.experiments import recipe_of


def test_all_methods_try_seven_strengths():
    assert set(REGRESSION) <= set(METHODS)
    assert {len(strengths) for strengths in REGRESSION.values()} == {7}
    assert tried(np.arange(7), 7).tolist() == list(range(7))
    assert tried(np.arange(7), 2).tolist() == [2, 4]


def test_a_ratio_needs_the_same_draws():
    def part(errors):
        return Evidence(recipe_of(), [Result(Trial({"a": 1}, 0, 0), {"error": errors})] if errors else [])

    assert claim_of_ratio_of_errors("r", part([2.0, 2.2, 2.1]), part([1.0, 1.0, 1.0]), above=1.5).verdict == "holds"
    assert claim_of_ratio_of_errors("r", part([2.0]), part([]), above=1.5).verdict == "undecided"
