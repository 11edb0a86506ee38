"""Flatness of adapters and of merged weights: frozen weights against the formula, and claims that can fail."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import adapters_and_weights
from tests.lab.quick import quick_finding

RECIPE = recipes.find("adapters-and-weights")


@pytest.mark.slow
def test_the_quick_version_finds_adapters_above_the_certified_bound():
    finding = quick_finding("adapters-and-weights", seed=11)
    assert not finding.trouble
    assert [claim.verdict for claim in finding.claims[:2]] == ["holds", "holds"]
    assert len(finding.displays) == 5


def test_flattest_frozen_weights_compute_the_same_and_have_the_least_trace():
    rng = np.random.default_rng(0)
    x, outputs, U = rng.standard_normal((30, 8)), np.repeat([1.0, -1.0], 4), rng.standard_normal((8, 8))
    flat = adapters_and_weights._flattest(U, outputs, x)
    assert np.allclose((flat * outputs) @ flat.T, (U * outputs) @ U.T)
    problem = fm.Problem(fm.measurements.RankOne(x), (x @ U) ** 2 @ outputs, fm.SignedGram())
    found = fm.flatness(problem, (flat[:, :4], flat[:, 4:]))
    assert found.scaled_trace == pytest.approx(found.fibre_minimum)
    assert found.scaled_trace < 0.9 * fm.flatness(problem, (U[:, :4], U[:, 4:])).scaled_trace


def test_the_flattest_of_each_kind_is_flattest():
    found = adapters_and_weights.adapt({"frozen": "gaussian", "change": 1.0}, 1)
    rows = dict(zip(found["method"], zip(found["adapter"], found["weights"], strict=True), strict=True))
    assert min(adapter for adapter, _ in rows.values()) == pytest.approx(1)
    assert min(weights for _, weights in rows.values()) == rows["flattest weights"][1] >= 1
    assert rows["flattest adapter"][0] == 1
    assert rows["compromise"][0] <= 1.05 * (1 + 1e-4)
    assert rows["compromise"][1] <= rows["flattest adapter"][1]


def verdicts(**changes):
    """Return the verdicts if some metrics of as claimed trials are replaced by functions of the repetition."""
    recipe = replace(RECIPE, repetitions=20)
    results = []
    for trial in recipe.trials():
        scatter = 1 + 0.01 * (trial.repetition % 3)
        found = {
            "method": list(adapters_and_weights.METHODS),
            "adapter": [2.0, 1.0, 3.0 * scatter, 1.05],
            "weights": [2.0, 2.5 * scatter, 1.2, 1.25],
            "error": [0.5, 0.5 * scatter, 0.3, 0.4],
            "gap": 1e-10,
        }
        results.append(Result(trial, found | {name: change(trial.repetition) for name, change in changes.items()}))
    return [claim.verdict for claim in recipe.judge(Evidence(recipe, results))]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, set()),
        ({"gap": lambda n: 1e-3}, {0}),
        ({"weights": lambda n: [2.0, 2.1, 0.9, 0.9]}, {1, 5, 12}),
        ({"weights": lambda n: [None] * 4}, {2}),
        ({"weights": lambda n: [2.0, 2.1, 1.2, 1.25]}, {3, 10}),
        ({"weights": lambda n: [1.3, 1.2 + 0.001 * n, 1.2, 1.2]}, {3, 4, 6, 10, 11, 13}),
        ({"weights": lambda n: [2.0, 2.5, 1.2, 1.4 + 0.001 * n]}, {8, 15}),
        ({"adapter": lambda n: [2.0, 1.0, 1.1 + 0.01 * n, 1.05]}, {7, 14}),
        ({"error": lambda n: [0.5, 0.3, 0.5 + 0.01 * n, 0.4]}, {9, 16}),
    ],
)
def test_every_claim_can_fail(changes, failing):
    found = verdicts(**changes)
    assert failing == {place for place, verdict in enumerate(found) if verdict == "fails"}


def test_without_results_nothing_is_decided():
    empty = Evidence(RECIPE, [])
    assert {claim.verdict for claim in RECIPE.judge(empty)} == {"undecided"}
    assert not RECIPE.show(empty)
