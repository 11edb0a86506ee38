"""Slices of the loss at the end of a run: dense Hessians, flat losses, and the model that is not changed."""

import numpy as np
import pytest
import torch
from torch import nn

from flatmin.lab.race.end_slices import PRODUCTS, end_slices, extreme_directions
from flatmin.lab.race.tasks import FactoredTask, NetworkTask
from flatmin.nn import Curvature
from tests.lab.race.small_tasks import instance


def test_directions_are_those_of_the_dense_hessian():
    task = FactoredTask(instance().problem)
    model = task.model(0)
    before = [p.detach().clone() for p in model.parameters()]
    data = torch.arange(len(task.targets)), task.targets
    values = np.linalg.eigvalsh(
        Curvature(model, nn.MSELoss(), data) @ torch.eye(sum(map(torch.numel, before))).double()
    )
    found = end_slices(model, task.loss_of, task.reach)
    assert found["curvatures"] == pytest.approx([values[-1], values[0]], rel=1e-6)
    steps, half = np.array(found["steps"]), len(found["steps"]) // 2
    assert steps[-1] == -steps[0] == task.reach
    with torch.no_grad():
        loss = float(task.loss(model(task.inputs), task.targets))
    for name, curvature in zip(("sharpest", "flattest"), found["curvatures"], strict=True):
        losses = np.array(found[name])
        assert losses[half] == pytest.approx(loss, rel=1e-12)
        second = np.polyfit(steps, losses, 4)[-3]  # the loss is a polynomial of degree four
        assert 2 * second == pytest.approx(curvature, rel=1e-6, abs=1e-8 * values[-1])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_networks_and_flat_losses_have_slices():
    task = NetworkTask.digits(width=4, images=(20, 10))
    model = task.model(0).train()
    found = end_slices(model, task.loss_of, task.reach)
    assert found["curvatures"][0] > found["curvatures"][1]
    assert np.isfinite(found["sharpest"] + found["flattest"]).all()
    assert model.training
    for matrix in (np.zeros((9, 9)), np.eye(9)):
        values, directions = extreme_directions(lambda v, A=matrix: A @ v, 9)
        assert values == pytest.approx((matrix[0, 0], matrix[0, 0]))
        assert np.linalg.norm(directions, axis=1) == pytest.approx(1)


def test_an_outlier_is_found_in_many_weights():
    values = np.r_[np.linspace(0, 1, 500), 9.0]
    (largest, smallest), directions = extreme_directions(lambda v: values * v, len(values))
    assert largest == pytest.approx(9, rel=1e-12)
    assert 0 <= smallest < 1e-2
    assert abs(directions[0, -1]) == pytest.approx(1, abs=1e-9)
    assert PRODUCTS < 500
