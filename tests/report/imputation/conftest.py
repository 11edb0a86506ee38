import numpy as np
import pytest

from flatmin import MatrixCompletion
from flatmin.report import FilledTable

RNG = np.random.default_rng(0)
TRUTH = RNG.standard_normal((50, 1)) @ RNG.uniform(1, 2, (1, 4)) + 0.2 * RNG.standard_normal((50, 4))
HOLES = RNG.random(TRUTH.shape) < 0.1


def fields(**changes):
    """Return the fields of a summary."""
    known = {"error": 0.5, "error_means": 1.0, "error_neighbours": 0.6, "coverage": 0.9}
    column = {
        "role": "fitted",
        "reason": None,
        "holes": 3,
        "filled": 3,
        "spread": 2.0,
        "smallest": -1.0,
        "largest": 1.0,
    }
    text = {"name": "sex", "role": "carried", "reason": "text", "holes": 2, "filled": 0}
    found = {"cells": 80, "confidence": 0.9, "means_are_as_good": False, "neighbours_are_better": False}
    return {
        "shape": [50, 5],
        "n_fitted_columns": 4,
        "n_known": int((~HOLES).sum()),
        "n_filled": int(HOLES.sum()),
        "holes_left": 2,
        "confidence": 0.9,
        "held_out": known | found,
        "columns": [column | known | {"name": name} for name in "abcd"] + [text],
        "rank": 1,
        "alpha": 0.1,
        "predicts": "0.3",
        "model": None,
        "converged": True,
        "seconds": 1.5,
        "seed": 0,
    } | changes


@pytest.fixture(scope="session")
def fit():
    return MatrixCompletion(alpha=0.1).fit(np.where(HOLES, np.nan, TRUTH))


@pytest.fixture
def filled(fit):
    def filled(values=TRUTH, holes=HOLES, labels=None, certificate=fit.certificate_, **changes):
        names = [f"column {j}" for j in range(values.shape[1])]
        known = fields(**changes)
        file = ("t.csv", "flatmin impute t.csv", ["note"])
        sides = (values, values - 1, values + 1, holes, values.mean(axis=0), values.std(axis=0))
        return FilledTable(*sides, names, labels, known, certificate, *file)

    return filled
