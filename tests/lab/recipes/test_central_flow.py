"""The recipe of the central flow at a small size, and a control in which its prediction fails."""

import numpy as np
import pytest

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import central_flow as study
from tests.lab.quick import quick_finding


def _evidence(**cells):
    recipe = recipes.find("central-flow").quickly()
    cell = {"factors": study.MATRICES, "warmup": 1000, "share": 0.25} | cells
    trials = [recipe.trial(cell | {"share": share}, r) for share in (0.25, 0.7) for r in range(3)]
    return trials, recipe


def test_a_slow_warm_up_is_predicted_and_the_gradient_flow_is_not():
    cell = {"factors": study.VECTORS, "warmup": 1000, "share": 0.25}
    found = study.follow(cell, 5)
    assert found["departure"] < 0.1
    assert found["free_ratio"] > 1.5
    assert 0.8 < found["loss_ratio"] < 1.25
    assert found["measured_gaps"][-1] == found["measured"]


def test_slopes_are_those_of_each_draw_and_a_wrong_prediction_fails():
    trials, recipe = _evidence()
    for factor, verdict, exact in ((1.0, "holds", "holds"), (1.05, "holds", "fails"), (1.5, "fails", "fails")):
        results = []
        for trial in trials:
            gap = 1 + trial.parameters["share"] + trial.repetition
            metrics = dict.fromkeys(study.MEASURED) | {"diverged": False, "edge_steps": 5}
            metrics |= {"predicted": gap, "measured": factor * gap, "departure": factor - 1}
            results.append(Result(trial, metrics))
        claims = [claim for claim in study.judge(Evidence(recipe, results)) if "slope" in claim.text]
        assert np.isclose(claims[1].estimate, factor)
        assert claims[1].verdict == verdict
        assert claims[2].verdict == exact
        assert np.isclose(claims[2].estimate, factor - 1)


def test_a_run_that_diverges_is_counted():
    trials, recipe = _evidence(warmup=0)
    results = [Result(t, dict.fromkeys(study.MEASURED) | {"diverged": True, "edge_steps": 0}) for t in trials]
    claim = next(c for c in study.judge(Evidence(recipe, results)) if "constant step size" in c.text)
    assert claim.estimate == 1.0


@pytest.mark.slow
def test_the_quick_version_departs_less_after_a_slow_warm_up_and_draws_every_figure():
    finding = quick_finding("central-flow")
    assert not finding.evidence.failed
    assert not finding.trouble
    assert finding.evidence.select(warmup=1000).values("departure").max() < 0.15
    wrong = [claim for claim in finding.claims if "constant step size" in claim.text]
    assert [claim.estimate for claim in wrong] == [1, 1]
    for display in finding.displays:
        assert display.plot()
