"""Flattest ReLU networks with and without biases: the closed trace, the bound, and what is measured by others."""

import pytest
import torch
from torch import nn

import flatmin as fm
from flatmin.lab.recipes import _relu_networks as study
from tests.lab.quick import check_finding, quick_finding
from tests.nn.networks import dense


def sample():
    return study._Sample.draw(5, 17, 3)


@pytest.mark.slow
def test_the_quick_version_holds():
    finding = quick_finding("relu-bias", seed=2)
    check_finding(finding, holding=len(finding.claims) - 1)


def test_networks_that_were_trained_to_be_zero_elsewhere_are_released():
    found = study.measure("zero elsewhere", False, d=4, n=10, width=12, steps=40, draws=2, seed=0)
    assert len(found["excess"]) == len(found["released_excess"]) == 2
    assert min(found["test_error"]) > max(found["released_test_error"]) / 2


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_built_networks_are_flattest_by_the_hessian_itself(share):
    drawn = sample()
    network = study._mixture(drawn, share).module()
    x, y = drawn.x[drawn.seen], drawn.y[drawn.seen]
    assert torch.allclose(network(x), y)
    trace = float(dense(network, nn.MSELoss(), x, y).trace())
    assert trace == pytest.approx(4 * 6**0.5, rel=1e-12)
    unseen = drawn.x[~drawn.seen]
    assert torch.allclose(network(unseen), share * drawn.y[~drawn.seen])


def test_no_network_is_flatter_than_the_bound():
    drawn = sample()
    for seed in range(30):
        for bias in (False, True):
            network = study._random(5, 12, seed, bias=bias)
            assert network.measure(drawn)["excess"] > 0.1


def test_training_penalises_the_trace_that_is_measured():
    """One step of training with a very small rate decreases loss and trace as the library measures them."""
    drawn = sample()
    start = study._random(5, 12, 0, bias=True)
    (end,) = study._Training([drawn], [start]).minimise(5, rate=1e-4)

    def objective(network):
        row = network.measure(drawn)
        return row["loss"] + study.PENALTY * row["trace"]

    assert objective(end) < objective(start)
    x, y = drawn.x[drawn.seen], drawn.y[drawn.seen]
    training = study._Training([drawn], [start])
    z, out = training._forward(training.x)
    closed = 2 * (z.square().sum(2) + 6 * ((z > 0) * training.a[:, None].square()).sum(2)).mean(1)
    module = start.module()
    assert torch.allclose(out[0], module(x))
    exact = fm.nn.hessian_trace(module, nn.MSELoss(), (x, y), of="gauss_newton", method="exact").value
    assert float(closed.detach()) == pytest.approx(exact)


def test_a_neuron_without_bias_can_be_alone_only_among_few_points():
    assert study._alone(study._Sample.draw(5, 20, 0), bias=False) == 0
    assert study._alone(study._Sample.draw(5, 20, 0), bias=True) == 1
    assert study._alone(study._Sample.draw(5, 3, 0), bias=False) == 1
