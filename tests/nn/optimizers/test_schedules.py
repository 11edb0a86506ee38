"""Schedulers and averages of torch act on a wrapper as on what it wraps."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import BASES, REPLAYING, data, mlp, set_up, train, wrappers

SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda k: 0.9),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.5)], [2]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 2)]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.01, anneal_epochs=3),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_moves_it_as_it_moves_the_optimizer_within(scheduler):
    rates = []
    for wrapped in (False, True):
        model, loss = mlp(), nn.MSELoss()
        optimizer = BASES["SGD"](model.parameters())
        if wrapped:
            optimizer = fnn.SAM(optimizer, model, loss)
        schedule, seen = SCHEDULERS[scheduler](optimizer), []
        for batch in data(5):
            train(model, loss, optimizer, [batch], schedule)
            seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        rates.append(seen)
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1


def test_a_plateau_scheduler_too():
    model, loss, optimizer = set_up("SAM")
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for value in (1.0, 1.0, 1.0):
        train(model, loss, optimizer, data(1))
        schedule.step(value)
    assert optimizer.base.param_groups[0]["lr"] == pytest.approx(0.05 * 0.01)


@wrappers
def test_averages_are_those_of_torch(wrapper):
    if wrapper == "PerExampleSAM":
        model, loss, optimizer = set_up(wrapper)
    else:
        model, loss, optimizer = set_up(wrapper, norm=True)
    average = swa_utils.AveragedModel(model)
    seen = []
    for batch in data(3):
        train(model, loss, optimizer, [batch])
        average.update_parameters(model)
        seen.append(model[0].weight.detach().clone())
    assert torch.allclose(average.module[0].weight, torch.stack(seen).mean(0))
    swa_utils.update_bn([x for x, _ in data(2)], average)
    loss(average(data(1)[0][0]), data(1)[0][1]).backward()  # the copy is watched by nobody
    if wrapper in REPLAYING:
        optimizer.zero_grad()
        with pytest.raises(InputError, match="no pass was recorded"):
            optimizer.step()
