"""The recipe of attention at a small size, and a control that its claims can fail."""

import pytest

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import attention as study
from tests.lab.quick import quick_finding


@pytest.mark.slow
def test_the_quick_version_is_certified():
    finding = quick_finding("attention")
    assert not finding.evidence.failed
    assert next(claim for claim in finding.claims if "certified" in claim.text).verdict == "holds"
    assert not finding.trouble


def test_exchanged_norms_fail():
    recipe = recipes.find("attention").quickly()
    results = []
    for trial in (t for t in recipe.trials() if t.parameters["start"] != study.SMALLER):
        far = trial.parameters["start"] == study.SMALL
        metrics = {"certified": 0.0, "finished": True, "nuclear": 0.2 if far else 1e-3, "decade": 1.0}
        noise = 1e-4 * trial.repetition
        metrics |= {"frobenius": 1e-3 if far else 0.2, "step": [1], "gap": [0.1], "nuclear": metrics["nuclear"] + noise}
        results.append(Result(trial, metrics))
    verdicts = [claim.verdict for claim in study.judge(Evidence(recipe, results)) if "2 tokens" in claim.text]
    assert verdicts.count("fails") >= 4
