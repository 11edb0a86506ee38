"""The verdict on a race."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from flatmin.lab.race.page import Ranking, verdict
from tests.lab.race.example_races import example_race


@pytest.fixture(scope="module")
def usual():
    return example_race(diverged=lambda name, seed: (name, seed) == ("muon", 3))


def test_an_uncertified_flattest_value_is_no_good_news(usual):
    open_ = SimpleNamespace(**{**vars(usual.flattest), "holds": False})
    verdicts = [verdict(Ranking(result)) for result in (usual, replace(usual, flattest=open_))]
    assert [v.good for v in verdicts] == [True, False]


def test_signs_of_a_correlation_are_read_off_its_interval(usual):
    found = usual.correlation
    for interval, said in (((-0.9, -0.2), "the larger its error"), ((-0.2, 0.9), "no clear relation")):
        assert said in verdict(Ranking(replace(usual, correlation=replace(found, interval=interval)))).advice
