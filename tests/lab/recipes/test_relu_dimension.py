"""The recipe of ReLU networks and dimension: derivatives by differences, and controls of its claims."""

from dataclasses import replace

import numpy as np
import pytest

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import relu_dimension as study
from tests.lab.quick import quick_finding


def _loss(x, y, V, a):
    return np.mean((np.maximum(np.hstack([x, np.ones((len(x), 1))]) @ V.T, 0) @ a - y) ** 2)


def _data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((12, 2)), rng.standard_normal(12), rng.standard_normal((3, 3)), rng.standard_normal(3)


def test_a_step_is_that_of_the_penalised_loss():
    x, y, V, a = _data()
    h, step, decay = 1e-6, 1e-2, 0.3
    new_V, new_a = study.fit(x, y, (V, a), step, decay, 1)
    for i in range(3):
        e = h * np.eye(3)[i]
        slope = (_loss(x, y, V, a + e) - _loss(x, y, V, a - e)) / (2 * h)
        assert new_a[i] == pytest.approx(a[i] - step * (slope + decay * a[i]), abs=1e-5)
        E = np.zeros((3, 3))
        E[1] = e
        slope = (_loss(x, y, V + E, a) - _loss(x, y, V - E, a)) / (2 * h)
        assert new_V[1, i] == pytest.approx(V[1, i] - step * (slope + decay * V[1, i]), abs=1e-5)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    x, y, V, a = _data(1)
    w, h = np.concatenate([a, V.ravel()]), 1e-4

    def value(w):
        return _loss(x, y, w[3:].reshape(3, 3), w[:3])

    eye = h * np.eye(len(w))
    H = np.array(
        [[value(w + p + q) - value(w + p - q) - value(w - p + q) + value(w - p - q) for p in eye] for q in eye]
    )
    assert study.sharpness(x, y, V, a) == pytest.approx(np.linalg.eigvalsh(H)[-1] / (4 * h * h), rel=1e-4)
    assert study.sharpness(x, y, 0 * V - [0, 0, 1], 0 * a) == pytest.approx(0, abs=1e-12)


def test_points_are_uniform_in_the_ball():
    x = study._ball(4000, 3, np.random.default_rng(0))
    assert np.mean(np.linalg.norm(x, axis=1) < 0.5) == pytest.approx(1 / 8, abs=0.02)


def test_errors_are_small_and_the_same_each_time():
    cell = {"d": 2, "n": 256, "width": 30, "steps": 500}
    found = {method: study.learn(cell | {"method": method}, 3) for method in study.METHODS}
    assert found[study.MEDIUM]["error"] < 0.5
    assert found[study.DECAY]["error"] < 0.5
    assert found[study.DECAY] == study.learn(cell | {"method": study.DECAY}, 3)


def _evidence(exponent):
    recipe = recipes.find("relu-dimension").quickly()
    results = []
    for trial in recipe.trials():
        p = trial.parameters
        rate = -0.8 if p["method"] == study.DECAY else exponent(p["d"])
        error = (1 + 0.01 * trial.repetition) * (p["n"] / 64) ** (rate + 0.001 * trial.repetition)
        results.append(Result(trial, {"error": error, "loss": 0.1, "edge": 1.0, "active": 0.3, "diverged": False}))
    return Evidence(recipe, results)


@pytest.mark.parametrize(("exponent", "verdict"), [(lambda d: -0.9 + 0.15 * d, "holds"), (lambda d: -0.8, "fails")])
def test_exponents_that_worsen_with_dimension_hold_and_equal_ones_fail(exponent, verdict):
    claims = {claim.text: claim for claim in study.judge(_evidence(exponent))}
    claim = claims["Large step: by how much the exponent of the error in n rises with each dimension"]
    assert claim.verdict == verdict
    assert claim.estimate == pytest.approx((exponent(5) - exponent(1)) / 4, abs=1e-6)


def test_runs_above_the_edge_are_counted_and_left_out_of_the_claims_about_stable_runs():
    evidence = _evidence(lambda d: -0.8)
    odd = [r for r in evidence.select(method=study.LARGE, n=256).results if r.trial.repetition == 0]
    results = [
        replace(r, metrics=r.metrics | {"edge": 1.3, "error": 100 * r.metrics["error"]}) if r in odd else r
        for r in evidence.results
    ]
    claims = {claim.text: claim for claim in study.judge(Evidence(evidence.experiment, results))}
    share = claims["Large step: the share of runs above 2.2/η"]
    assert share.estimate == len(odd) / len(evidence.select(method=study.LARGE).results)
    exponent = "d = 5: exponent of the error in n, 95 % together over dimensions"
    assert claims[f"Large step, stable runs alone, {exponent}"].estimate == pytest.approx(-0.799)
    assert claims[f"Large step, {exponent}"].estimate > 0
    ratio = "d = 5, largest n{}: the error of the large step over that of weight decay, in the geometric mean"
    assert claims[ratio.format(", stable runs alone")].estimate == pytest.approx(1)
    assert claims[ratio.format("")].estimate == pytest.approx(10)


@pytest.mark.slow
def test_the_quick_version_runs():
    finding = quick_finding("relu-dimension")
    assert not finding.evidence.failed
    assert not finding.trouble
