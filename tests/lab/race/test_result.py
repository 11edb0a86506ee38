"""What a race returns: medians, order, JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from flatmin.lab.race.result import COLUMNS
from tests.lab.race.example_races import NETWORK, example_race


def refuse(constant):
    raise AssertionError(f"{constant} in JSON")


@pytest.fixture(scope="module")
def result():
    return example_race(diverged=lambda name, seed: name == "muon" and seed > 1)


def test_medians_over_seeds_beside_numpy(result):
    for row in result.summary():
        runs = [r for r in result.table if r["competitor"] == row["competitor"]]
        assert row["runs"] == 5
        assert row["diverged"] == sum(r["diverged"] for r in runs)
        for column in ("loss", "flatness_gap", "relative_error"):
            values = [r[column] for r in runs]
            if np.isfinite(values).all():
                assert row[column] == pytest.approx(np.median(values))
    assert set(result.summary()[0]) == {*COLUMNS, "runs"} - {"seed"}


def test_a_run_that_diverged_counts_as_infinite(result):
    """Three of five: the median is infinite; with one of five it is a number."""
    medians = {row["competitor"]: row for row in result.summary()}
    assert medians["muon"]["diverged"] == 3
    assert math.isinf(medians["muon"]["flatness_gap"])
    few = example_race(diverged=lambda name, seed: name == "muon" and seed == 3)
    assert math.isfinite({row["competitor"]: row for row in few.summary()}["muon"]["flatness_gap"])


def test_the_flattest_come_first_and_networks_are_ordered_by_their_trace(result):
    for outcome, key in ((result, "flatness_gap"), (example_race(("sgd", "adam", "sam"), of=NETWORK), "scaled_trace")):
        values = [row[key] for row in outcome.summary()]
        assert values == sorted(values)


def test_everything_but_the_trajectories_is_json(result):
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False), parse_constant=refuse)
    assert set(found) == {
        *("table", "summary", "flattest", "correlation", "protocol", "tuning", "competitors", "left_out")
    }
    assert len(found["table"]) == len(result.table)
    assert found["flattest"] == result.flattest.value
    assert {row["loss"] for row in found["table"] if row["diverged"]} == {None}
    assert found["correlation"]["interval"] == list(result.correlation.interval)
    network = example_race(("sgd", "adam"), of=NETWORK)
    assert network.as_dict()["flattest"] is None
    assert network.as_dict()["correlation"] is None
