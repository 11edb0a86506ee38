import numpy as np
import pytest

from flatmin import PairRegressor
from flatmin.report import HeldOutValues, RatedTable

RNG = np.random.default_rng(0)
VALUES = RNG.integers(1, 6, 300).astype(float)
PREDICTIONS = {
    "model": VALUES + 0.5 * RNG.standard_normal(300),
    "offsets": VALUES + RNG.standard_normal(300),
    "mean": np.full(300, 3.0),
}
HELD_OUT = HeldOutValues(RNG.integers(1, 60, 300), VALUES, PREDICTIONS)
FOUND = {
    "pairs": 300,
    "error": 0.5,
    "error_mean": 1.5,
    "error_offsets": 1.0,
    "coverage": 0.9,
    "offsets_are_as_good": False,
    "confidence": 0.9,
}


@pytest.fixture(scope="session")
def certificate():
    pairs = [(i, j) for i in range(6) for j in range(5)]
    return PairRegressor(0.3).fit(pairs, np.arange(30.0)).certificate_


@pytest.fixture
def rated(certificate):
    """Return predicted values for a report, with some fields of the summary changed."""

    def build(held_out=HELD_OUT, certificate=certificate, **changes):
        summary = {
            "shape": [20, 10],
            "n_values": 1500,
            "n_predicted": 50,
            "n_unknown": 0,
            "held_out": FOUND,
            "given": None,
            "confidence": 0.9,
            "converged": True,
            "rank": 2,
            "alpha": 0.3,
            "predicts": "refit",
            "model": None,
            "seconds": 1.0,
            "seed": 0,
        }
        rankings = [("ann", np.array(["a", "b"]), np.array([4.0, 3.5])), ("bob", np.array(["c"]), np.array([2.0]))]
        return RatedTable(summary | changes, rankings, held_out, certificate, "r.csv", "flatmin rate r.csv", ["x is y"])

    return build
