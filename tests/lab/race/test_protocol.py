"""The rules of a race."""

import pytest

from flatmin.errors import InputError
from flatmin.lab.race import Protocol


@pytest.mark.parametrize(
    "settings", [{"budget": 0}, {"trials": 0}, {"points": 1}, {"seeds": ()}, {"seeds": (1_000_000,)}]
)
def test_rules_that_cannot_be_kept_are_refused(settings):

    with pytest.raises(InputError, match="expected"):
        Protocol(**({"budget": 10, "seeds": (0,)} | settings))


def test_observations_begin_at_zero_and_end_with_the_budget():
    protocol = Protocol(1000, (0,))
    for budget in (1, 7, 1000):
        counts = protocol.grid(budget)
        assert (counts[0], counts[-1]) == (0, budget)
        assert (counts[1:] > counts[:-1]).all()
        assert len(counts) <= protocol.points + 1


def test_a_trial_has_a_share_of_the_budget_and_at_least_one_gradient():
    assert [Protocol(budget, (0,)).tuning_budget for budget in (1, 400)] == [1, 100]
