"""Choosing strengths, transforming inputs, and what the rows say."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from flatmin.lab.networks import signed_squares
from flatmin.lab.recipes._tuning.methods import standardize, whiten
from flatmin.lab.recipes._tuning.tuned import Data, Setting, by_seed, compare, draw_errors
from flatmin.lab.studies.quadratic_teacher import relative_error
from flatmin.nn import hessian_trace

SEEDS = 3


def _setting(strengths, test_targets=None, steps=40):
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(SEEDS):
        xs = [rng.standard_normal((40, 3)) * [1, 2, 3] for _ in range(3)]
        parts = [(x, x[:, :1] ** 2 - x[:, 1:2] ** 2) for x in xs]
        if test_targets is not None:
            parts[2] = (parts[2][0], test_targets * parts[2][1])
        draws.append(parts)
    return Setting(
        columns={"inputs": "some"},
        data=Data.of(draws),
        network=lambda d: signed_squares(d, 4),
        loss=nn.MSELoss(),
        error=relative_error,
        strengths=strengths,
        steps=steps,
    )


def test_the_strength_is_chosen_by_validation_data_alone():
    steps = {"plain": [1e-4, 1.0, 1e-3]}
    rows, other = compare(_setting(steps), 0), compare(_setting(steps, test_targets=-1.0), 0)
    assert [row["strength"] for row in rows] == [1.0] * SEEDS
    assert [row["strength"] for row in other] == [1.0] * SEEDS
    assert all(mine["error"] < theirs["error"] for mine, theirs in zip(rows, other, strict=True))
    assert all(row["at_edge"] for row in rows)
    assert not any(row["at_edge"] for row in compare(_setting({"plain": [1e-4, 1.0, 1e9]}), 0))


def test_among_strengths_as_good_the_largest_is_taken():
    rows = compare(_setting({"trace penalty": [0.0, 0.0], "weight decay": [1e-3, 1e-9, 0.0]}, steps=0), 0)
    assert {row["method"]: row["strength"] for row in rows} == {"trace penalty": 0.0, "weight decay": 1e-3}


def test_a_row_repeats_and_its_trace_is_that_of_the_hessian():
    setting = _setting({"weight decay": [0.1]}, steps=3)
    rows = compare(setting, 5)
    assert rows == compare(setting, 5)
    assert rows != compare(setting, 6)
    assert len({row["error"] for row in rows}) == SEEDS
    with torch.random.fork_rng():
        torch.manual_seed(5)
        start = signed_squares(3, 4)
    data = setting.data.transformed(None).train
    first = compare(_setting({"weight decay": [0.1]}, steps=0), 5)[0]
    trace = hessian_trace(start, nn.MSELoss(), (data[0][0], data[1][0]), of="gauss_newton").value
    assert first["trace"] == pytest.approx(trace, rel=1e-4)


def test_a_run_that_diverges_is_never_chosen():
    rows = compare(_setting({"plain": [1e-3, 1e30]}), 0)
    assert [row["strength"] for row in rows] == [1e-3] * SEEDS
    assert all(row["error"] == math.inf for row in compare(_setting({"plain": [1e30]}), 0))


def test_whitening_leaves_nothing_but_noise_out():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.tensor([1.0, 9.0, 0.1, 0.0]))
    x = x + x[:, :1] * torch.tensor([0.0, 3.0, 0.0, 0.0])
    z = x @ whiten(x)
    expected = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(z.T @ z / 50, expected, atol=1e-4, rtol=0)
    z = x @ standardize(x)
    torch.testing.assert_close((z.T @ z / 50).diagonal(), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert abs(float((z.T @ z / 50)[0, 1])) > 0.1


def test_all_inputs_are_given_one_unit_by_the_training_data():
    data = _setting({}).data
    for transform in (None, whiten):
        changed = data.transformed(transform)
        torch.testing.assert_close(changed.train[0].square().mean((1, 2)), torch.ones(SEEDS))
    factor = data.transformed(None).test[0] / data.test[0]
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))


def test_rows_are_read_by_seed_and_drawn():
    rows = [{"inputs": "a", "method": "plain", "seed": s, "error": float(s)} for s in (2, 0, 1)]
    rows += [{"inputs": "b", "method": "SAM", "seed": 0, "error": 9.0}]
    assert by_seed(rows, "plain", inputs="a").tolist() == [0.0, 1.0, 2.0]
    figure = Figure()
    draw_errors(figure, rows, "inputs", "error")
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[int(figure.axes[1].lines[0].get_ydata()[0])] == "SAM"
    assert labels[int(figure.axes[0].lines[0].get_ydata()[0])] == "plain"
