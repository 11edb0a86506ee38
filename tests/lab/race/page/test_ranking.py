"""The order of the competitors, and what the page shows of them."""

from dataclasses import replace

import pytest

from flatmin.lab.race.page import Ranking
from tests.lab.race.example_races import NETWORK, example_race


@pytest.fixture(scope="module")
def result():
    return example_race(diverged=lambda name, seed: name == "muon" and seed > 1)


def test_a_reading_puts_who_fits_before_who_does_not(result):
    reading = Ranking(result)
    fits = [row["fits"] for row in reading.rows]
    assert fits == sorted(fits, reverse=True)
    assert not any(row["fits"] for row in reading.rows if row["competitor"] in ("two-point", "muon"))
    gaps = [row["flatness_gap"] for row in reading.rows if row["fits"]]
    assert gaps == sorted(gaps)
    level, near = reading.near
    assert level == 0.01
    assert all(row["flatness_gap"] <= level for row in near)


def test_clouds_have_the_runs_that_ended(result):
    ends = Ranking(result).ends()
    assert {name: len(ends[name]) for name in ("muon", "sgd", "gradient-descent-large-step")} == {
        "muon": 2,
        "sgd": 5,
        "gradient-descent-large-step": 0,
    }
    assert ends["muon"].shape == (2, 2)


def test_without_a_flattest_value_nobody_is_near():
    reading = Ranking(replace(example_race(("sgd", "adam", "sam"), of=NETWORK)))
    assert reading.flatness == "scaled_trace"
    assert not reading.determined
