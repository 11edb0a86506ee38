"""Adapters with weight decay: the certified optimum against another solver, and claims that can fail."""

from dataclasses import replace

import numpy as np
import pytest

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import adapter_decay
from tests.lab.quick import check_finding, quick_finding

RECIPE = recipes.find("adapter-decay")
CELL = {"panel": "completion", "m": 60, "decay": 0.01, "spare": 1, "start": "zero"}


@pytest.mark.slow
def test_the_quick_version_has_no_minimum_between():
    finding = quick_finding("adapter-decay", seed=5)
    check_finding(finding, holding=1)
    assert len(finding.displays) == 4


def test_the_optimum_is_the_least_of_loss_and_nuclear_norm():
    cvxpy = pytest.importorskip("cvxpy")
    found = adapter_decay.train(CELL, 3)
    rng = np.random.default_rng(3)
    draw = adapter_decay.Draw.sample(CELL, rng)
    start = draw.start(CELL, rng)
    X = cvxpy.Variable((10, 10))
    loss = cvxpy.sum_squares(draw.A @ cvxpy.vec(X, order="C") - draw.b) / 60
    least = cvxpy.Problem(cvxpy.Minimize(loss + draw.decay * cvxpy.normNuc(X))).solve(solver="SCS", eps=1e-9)
    assert found["converged"]
    assert abs(found["excess"]) < 1e-8
    assert draw.value(draw.descended(start)) == pytest.approx(least, rel=1e-5)
    assert start.shape[2] == found["rank"] + 1


def test_a_saddle_is_no_local_minimum():
    draw = adapter_decay.Draw.sample(CELL, np.random.default_rng(0))
    zero = np.zeros(60)
    assert not draw.gradient(zero).any()
    assert not draw.is_minimum(zero)


def verdicts(**changes):
    """Return the verdicts if metrics of as claimed runs are replaced by functions of parameters and repetition."""
    recipe = replace(RECIPE, repetitions=25)
    results = []
    for trial in recipe.trials():
        at = trial.parameters
        failed = at["spare"] == 0 and at["start"] == "large" and trial.repetition < 4
        found = {
            "excess": 0.5 if failed else 1e-12,
            "converged": True,
            "rank": 4,
            "width": 4,
            "norm": 1.2,
            "gap": 1e-12,
        }
        if at["spare"] < 0:
            found["excess"] = 0.01
        found |= {name: change(at, trial.repetition) for name, change in changes.items()}
        found["failed"] = found["excess"] >= adapter_decay.FAR
        results.append(Result(trial, found))
    return [claim.verdict for claim in recipe.judge(Evidence(recipe, results))]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, set()),
        ({"gap": lambda at, n: 1e-3}, {0}),
        ({"converged": lambda at, n: n > 5}, {1}),
        ({"excess": lambda at, n: 0.05}, {2, 3}),
        ({"excess": lambda at, n: 0.5 if n < 5 else 0.01 if at["spare"] < 0 else 0}, {3}),
        ({"norm": lambda at, n: 1.0}, {4}),
        ({"rank": lambda at, n: 3}, {4}),
        ({"excess": lambda at, n: 0.5 if at["start"] == "zero" and at["spare"] == 0 else 0}, {5, 6}),
    ],
)
def test_every_claim_can_fail(changes, failing):
    assert {place for place, verdict in enumerate(verdicts(**changes)) if verdict == "fails"} == failing


def test_runs_of_one_draw_count_once():
    """Four runs of one draw in each of three settings make three of the 405 draws."""
    row = {"converged": True, "rank": 4, "width": 4, "norm": 1.2, "gap": 1e-12, "failed": False}
    results = []
    for trial in RECIPE.trials():
        between = trial.repetition == 0 and trial.parameters["spare"] >= 0 and trial.parameters["decay"] == 0.01
        results.append(Result(trial, row | {"excess": 0.05 if between else 1e-12}))
    assert RECIPE.judge(Evidence(RECIPE, results))[2].estimate == pytest.approx(3 / 405)


def test_without_results_nothing_is_decided():
    empty = Evidence(RECIPE, [])
    assert {claim.verdict for claim in RECIPE.judge(empty)} == {"undecided"}
    assert not RECIPE.show(empty)
