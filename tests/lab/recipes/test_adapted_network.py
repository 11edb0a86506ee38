"""Quadratic networks with an adapter: traces against dense Hessians, gradients against differences."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes._adapted_network import AdaptedNetwork


def drawn(seed=0, d=3, h=4, m=5, k=2):
    """Return a network whose targets its adapter fits, and the adapter."""
    rng = np.random.default_rng(seed)
    outputs, frozen = np.array([1.0, 1.0, -1.0, -1.0]), rng.standard_normal((d, h))
    x, adapter = rng.standard_normal((m, d)), rng.standard_normal(k * (d + h))
    blank = AdaptedNetwork(x, frozen, outputs, np.zeros(m), k)
    return AdaptedNetwork(x, frozen, outputs, blank.misfit(adapter), k), adapter


def dense_trace(function, point):
    """Return the trace of the Hessian of a function by second differences."""
    step = 1e-4
    along = [function(point + step * e) + function(point - step * e) for e in np.eye(point.size)]
    return (sum(along) - 2 * point.size * function(point)) / step**2


def test_traces_are_those_of_the_hessian():
    network, adapter = drawn()

    def loss_of_weights(flat):
        U = flat.reshape(network.frozen.shape)
        return np.mean(((network.inputs @ U) ** 2 @ network.outputs - network.targets) ** 2)

    by_adapter = dense_trace(lambda z: np.mean(network.misfit(z) ** 2), adapter)
    by_weights = dense_trace(loss_of_weights, network.merged(adapter).ravel())
    assert network.adapter_trace(adapter)[0] == pytest.approx(by_adapter, rel=1e-4)
    assert network.weight_trace(adapter)[0] == pytest.approx(by_weights, rel=1e-4)
    problem = fm.Problem(fm.measurements.RankOne(network.inputs), network.targets, fm.SignedGram())
    U = network.merged(adapter)
    assert network.weight_trace(adapter)[0] == pytest.approx(fm.flatness(problem, (U[:, :2], U[:, 2:])).scaled_trace)


@pytest.mark.parametrize("name", ["adapter_trace", "weight_trace"])
def test_gradients_are_derivatives(name):
    network, adapter = drawn(1)
    trace = getattr(network, name)
    rng = np.random.default_rng(2)
    along = rng.standard_normal(adapter.size)
    change = (trace(adapter + 1e-5 * along)[0] - trace(adapter - 1e-5 * along)[0]) / 2e-5
    assert trace(adapter)[1] @ along == pytest.approx(change, rel=1e-7)
    moved = (network.misfit(adapter + 1e-5 * along) - network.misfit(adapter - 1e-5 * along)) / 2e-5
    assert network.slopes(adapter) @ along == pytest.approx(moved, rel=1e-7)


def test_a_flattened_adapter_fits_and_is_flatter_within_its_bound():
    network, adapter = drawn(3)
    start = network.fit(adapter + 0.1)
    flat = network.flattened(start, network.adapter_trace)
    assert np.linalg.norm(network.misfit(flat)) <= 1e-7 * np.linalg.norm(network.targets)
    assert network.adapter_trace(flat)[0] < network.adapter_trace(start)[0]
    most = 1.05 * network.adapter_trace(flat)[0]
    both = network.flattened(flat, network.weight_trace, below=(network.adapter_trace, most))
    assert network.adapter_trace(both)[0] <= most * (1 + 1e-4)
    assert network.weight_trace(both)[0] <= network.weight_trace(flat)[0]


def test_an_adapter_that_cannot_fit_is_none():
    network, adapter = drawn(4)
    impossible = AdaptedNetwork(network.inputs, network.frozen, np.ones(4), -np.ones(5), 2)
    assert impossible.fit(adapter) is None
    assert impossible.flattened(adapter, impossible.adapter_trace) is None


def test_a_descent_stays_on_the_fits_and_lowers_the_trace():
    network, adapter = drawn(3)
    start = network.fit(adapter + 0.1)
    seen = list(network.descent(start, network.adapter_trace, 300))
    traces = [network.adapter_trace(z)[0] for z in seen]
    assert (np.diff(traces) <= 0).all()
    assert max(np.linalg.norm(network.misfit(z)) for z in seen) <= 1e-7 * np.linalg.norm(network.targets)
    assert traces[-1] < 0.2 * traces[0]
    along = np.random.default_rng(0).standard_normal(start.size)
    slope = (network.value(start + 0.1 + 1e-6 * along) - network.value(start + 0.1 - 1e-6 * along)) / 2e-6
    assert network.gradient(start + 0.1) @ along == pytest.approx(slope, rel=1e-6)
