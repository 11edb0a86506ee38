"""The recipe of label noise against automatic derivatives, a general minimiser, and a control."""

import numpy as np
import pytest
from scipy.optimize import minimize

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import label_noise as study
from flatmin.lab.recipes.label_noise import ACTIVATIONS, CONTROL, POSITIVE, Networks, effective_rank
from tests.lab.quick import quick_finding


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_trace_is_that_of_the_hessian_where_the_loss_is_zero(activation):
    networks, weights = Networks.sample(1, 3, 5, 4, activation, seed=1)
    slopes, h = ACTIVATIONS[activation][1], 1e-6
    z = np.linspace(-2, 2, 9)
    function = ACTIVATIONS[activation][0]
    assert slopes(z) == pytest.approx((function(z + h) - function(z - h)) / (2 * h), rel=1e-6)
    W = weights[0]

    def outputs(flat):
        return function(flat.reshape(W.shape) @ networks.inputs[0].T).sum(axis=0)

    J = np.array([(outputs(W.ravel() + h * e) - outputs(W.ravel() - h * e)) / (2 * h) for e in np.eye(W.size)])
    assert networks.trace(weights)[0] == pytest.approx(2 / 3 * np.sum(J**2), rel=1e-6)


@pytest.mark.parametrize("activation", POSITIVE)
def test_equal_neurons_have_the_least_trace(activation):
    networks, weights = Networks.sample(1, 2, 3, 3, activation, seed=2)
    found = minimize(
        lambda w: float(networks.trace(w.reshape(weights.shape))[0]),
        weights.ravel(),
        constraints={
            "type": "eq",
            "fun": lambda w: (
                ACTIVATIONS[activation][0](w.reshape(weights.shape) @ networks.inputs[0].T).sum(axis=(0, 1))
                - networks.labels[0]
            ),
        },
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert networks.equal_trace()[0] == pytest.approx(found.fun, rel=1e-5)


@pytest.mark.parametrize("activation", ["cubic", pytest.param(CONTROL, marks=pytest.mark.slow)])
def test_label_noise_lowers_trace_and_rank_and_the_control_keeps_its_rank(activation):
    cell = {"activation": activation, "noise": 1.0, "n": 5, "d": 8, "width": 6, "steps": 10000, "draws": 2}
    found = study.seek(cell, 0)
    excess, rank = (np.reshape(found[name], (-1, 2)) for name in ("excess", "rank"))
    assert max(found["loss"]) < 1e-4
    if activation == CONTROL:
        assert excess[-1].mean() < min(0, excess[0].mean())
        assert rank[-1].min() > 3
    else:
        assert (excess[-1] < 0.3 * excess[0]).all()
        assert rank[-1].mean() < rank[0].mean() - 0.2


def test_effective_rank_of_known_matrices():
    assert effective_rank(np.diag([1.0, 1.0, 0.0])) == pytest.approx(2)
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(4 / 3**0.75)


@pytest.mark.slow
def test_the_quick_version_holds_for_the_trace():
    finding = quick_finding("label-noise")
    assert not finding.evidence.failed
    assert not finding.trouble
    assert next(claim for claim in finding.claims if "largest loss" in claim.text).verdict == "holds"


def test_a_rank_that_stays_fails():
    recipe = recipes.find("label-noise").quickly()
    results = []
    for trial in recipe.trials():
        steps = trial.parameters["steps"]
        lists = {"excess": [1e-3, 1e-3, 2e-3], "rank": [3.0, 3.1, 2.9], "loss": [0.0] * 3}
        metrics = {"step": [steps] * 3 + [steps // 10] * 3} | {name: values * 2 for name, values in lists.items()}
        results.append(Result(trial, metrics))
    verdicts = {claim.text: claim.verdict for claim in study.judge(Evidence(recipe, results))}
    assert verdicts["cubic: the effective rank at the end, in the mean over draws"] == "fails"
    assert verdicts["cubic: the excess of the trace over its least value at the end, in the mean over draws"] == "holds"


def test_equal_neurons_fit_with_the_least_trace_and_gradients_are_slopes_of_the_loss():
    networks, start = study.Networks.sample(1, 5, 8, 6, "sinh", 0)
    equal = networks.equal_neurons()
    assert networks.loss(equal)[0] < 1e-20
    assert networks.trace(equal) == pytest.approx(networks.equal_trace())
    assert networks.ranks(equal) == pytest.approx([1.0])
    flat, along = start.ravel(), np.random.default_rng(1).standard_normal(48)
    slope = (networks.value(flat + 1e-6 * along) - networks.value(flat - 1e-6 * along)) / 2e-6
    assert networks.gradient(flat) @ along == pytest.approx(slope, rel=1e-6)
