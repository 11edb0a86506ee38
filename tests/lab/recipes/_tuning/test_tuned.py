"""Choosing strengths, transforming inputs, and what the rows say."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from flatmin.lab.networks import signed_squares
from flatmin.lab.recipes._tuning.methods import whiten
from flatmin.lab.recipes._tuning.tuned import Data, Setting, mean_squared_error_over_variance, tuned_errors
from flatmin.nn import hessian_trace

SEEDS = 3


def _setting(test_targets=None, steps=40):
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(SEEDS):
        xs = [rng.standard_normal((40, 3)) * [1, 2, 3] for _ in range(3)]
        parts = [(x, x[:, :1] ** 2 - x[:, 1:2] ** 2) for x in xs]
        if test_targets is not None:
            parts[2] = (parts[2][0], test_targets * parts[2][1])
        draws.append(parts)
    return Setting(
        data=Data.from_draws(draws),
        network=lambda d: signed_squares(d, 4),
        loss=nn.MSELoss(),
        error=mean_squared_error_over_variance,
        steps=steps,
    )


def test_the_strength_is_chosen_by_validation_data_alone():
    steps = [1e-4, 1.0, 1e-3]
    found = tuned_errors(_setting(), "plain", steps, 0)
    other = tuned_errors(_setting(test_targets=-1.0), "plain", steps, 0)
    assert found["strength"] == other["strength"] == [1.0] * SEEDS
    assert all(mine < theirs for mine, theirs in zip(found["error"], other["error"], strict=True))
    assert all(found["at_edge"])
    assert not any(tuned_errors(_setting(), "plain", [1e-4, 1.0, 1e9], 0)["at_edge"])


def test_of_equally_good_strengths_the_largest_is_taken():
    assert tuned_errors(_setting(steps=0), "trace penalty", [0.0, 0.0], 0)["strength"] == [0.0] * SEEDS
    assert tuned_errors(_setting(steps=0), "weight decay", [1e-3, 1e-9, 0.0], 0)["strength"] == [1e-3] * SEEDS


def test_a_result_repeats_and_its_trace_is_that_of_the_hessian():
    setting = _setting(steps=3)
    found = tuned_errors(setting, "weight decay", [0.1], 5)
    assert found == tuned_errors(setting, "weight decay", [0.1], 5)
    assert found != tuned_errors(setting, "weight decay", [0.1], 6)
    assert len(set(found["error"])) == SEEDS
    with torch.random.fork_rng():
        torch.manual_seed(5)
        start = signed_squares(3, 4)
    data = setting.data.transformed(None).train
    first = tuned_errors(_setting(steps=0), "weight decay", [0.1], 5)
    trace = hessian_trace(start, nn.MSELoss(), (data[0][0], data[1][0]), of="gauss_newton").value
    assert first["trace"][0] == pytest.approx(trace, rel=1e-4)


def test_a_run_that_diverges_is_never_chosen():
    assert tuned_errors(_setting(), "plain", [1e-3, 1e30], 0)["strength"] == [1e-3] * SEEDS
    assert tuned_errors(_setting(), "plain", [1e30], 0)["error"] == [math.inf] * SEEDS


def test_all_inputs_are_given_one_unit_by_the_training_data():
    data = _setting().data
    for transform in (None, whiten):
        changed = data.transformed(transform)
        torch.testing.assert_close(changed.train[0].square().mean((1, 2)), torch.ones(SEEDS))
    factor = data.transformed(None).test[0] / data.test[0]
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
