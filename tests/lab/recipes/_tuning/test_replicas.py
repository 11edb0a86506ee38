"""Networks trained side by side, against each trained by itself."""

import copy

import pytest
import torch
from torch import nn

from flatmin.lab.networks import Square, one_hidden_layer, signed_squares
from flatmin.lab.recipes._tuning.methods import METHODS
from flatmin.lab.recipes._tuning.replicas import EachSAM, Replicas
from flatmin.nn import SAM, HessianTracePenalty, hessian_trace

S, N, D = 3, 7, 4


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return [one_hidden_layer(D, 5, 2, Square()).double() for _ in range(S)]


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(S, N, D, generator=generator, dtype=torch.float64)
    return x, torch.randint(2, (S, N), generator=generator)


def _close(model, networks, tolerance=1e-9):
    for s, network in enumerate(networks):
        for found, expected in zip(model.replica(s).parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("make", [lambda: one_hidden_layer(D, 5, 2, nn.ReLU()), lambda: signed_squares(D, 6)])
def test_outputs_are_those_of_each(make, samples):
    networks = [make().double() for _ in range(S)]
    model, x = Replicas(networks), samples[0]
    expected = torch.cat([network(z) for network, z in zip(networks, x, strict=True)])
    torch.testing.assert_close(model(x), expected)
    _close(model, networks, 0)
    trained = sum(p.numel() for p in networks[0].parameters() if p.requires_grad)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == S * trained
    assert len(model) == S


def test_a_copy_does_not_change_with_the_model(networks, samples):
    model = Replicas(networks)
    before = model.replica(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    torch.testing.assert_close(before(samples[0][0]), networks[0](samples[0][0]))


def test_the_penalty_is_the_mean_of_all_traces():
    """With one sample and one output each, the probe's signs drop out and the penalty is exact."""
    torch.manual_seed(0)
    networks = [signed_squares(D, 6, scale=1.0).double() for _ in range(S)]
    model, loss = Replicas(networks), nn.MSELoss()
    x, y = torch.randn(S, 1, D, dtype=torch.float64), torch.zeros(S, 1, 1, dtype=torch.float64)
    penalty = HessianTracePenalty(model, loss, seed=0)(x, y.flatten(0, 1))
    traces = [hessian_trace(network, loss, (x[s], y[s]), of="gauss_newton").value for s, network in enumerate(networks)]
    assert penalty.item() == pytest.approx(sum(traces) / S, rel=1e-12)


def test_sam_takes_the_worst_weights_of_each(networks, samples):
    (x, y), loss, rho, lr = samples, nn.CrossEntropyLoss(), 0.3, 0.1
    model, joint = Replicas(networks), Replicas(networks)
    for kind, whole in ((EachSAM, model), (SAM, joint)):
        optimizer = kind(torch.optim.SGD(whole.parameters(), lr=lr * S), whole, loss, rho)
        loss(whole(x), y.flatten()).backward()
        optimizer.step()
    for s, network in enumerate(networks):
        optimizer = SAM(torch.optim.SGD(network.parameters(), lr=lr), network, loss, rho)
        loss(network(x[s]), y[s]).backward()
        optimizer.step()
    _close(model, networks)
    with pytest.raises(AssertionError):
        _close(joint, networks)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["plain", "weight decay", "decoupled decay", "SAM", "label smoothing"])
def test_a_replica_is_trained_as_if_alone(name, networks, samples):
    x, y = samples
    together, alone = Replicas(networks), [Replicas([copy.deepcopy(network)]) for network in networks]
    parts = [(together, slice(None)), *((model, slice(s, s + 1)) for s, model in enumerate(alone))]
    for model, part in parts:
        training = METHODS[name].start(model, nn.CrossEntropyLoss(), 0.01, 0.1)
        for _ in range(5):
            training.optimizer.zero_grad()
            training.objective(x[part], y[part].flatten()).backward()
            training.optimizer.step()
    _close(together, [model.replica(0) for model in alone], 1e-5)
    with pytest.raises(AssertionError):
        _close(together, networks, 1e-5)
