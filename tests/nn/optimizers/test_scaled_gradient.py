"""Scaled gradient descent: its closed form in each model, and that it does not see how X is factored."""

import numpy as np
import pytest
import torch
from torch import nn

import flatmin as fm
import flatmin.nn as fnn
from flatmin.errors import InputError

SAMPLES = {
    "product": lambda: fm.families.matrix_sensing.sample((6, 5), 2, 60),
    "gram": lambda: fm.families.covariance.sample(6, 2, 60),
    "signed gram": lambda: fm.families.quadratic_network.sample(6, 2, 60),
    "complex gram": lambda: fm.families.phase_retrieval.sample(6, 1, 60),
}


def model_of(kind, rank=2, seed=0, scale=1.0):
    instance = SAMPLES[kind]()
    return instance, fnn.FactoredModel(instance.problem, rank, seed, scale=scale)


def step(model, damping, lr=0.01, scaled=True):
    """Take one step on the loss of the problem; return the plain gradients, complex where the model is."""
    loss = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    if scaled:
        optimizer = fnn.ScaledGradient(optimizer, model, loss, damping)
    optimizer.zero_grad()
    loss(model(), torch.from_numpy(model.problem.data)).backward()
    plain = [p.grad.numpy().copy() for p in model.parameters()]
    optimizer.step()
    return [p[: len(p) // 2] + 1j * p[len(p) // 2 :] if model.is_complex else p for p in plain]


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_it_is_the_closed_form(kind, damping):
    _, model = model_of(kind)
    before = model.factors()
    gradients = step(model, damping)
    partners = before[::-1] if kind == "product" else before
    for old, new, g, Q in zip(before, model.factors(), gradients, partners, strict=True):
        expected = g @ np.linalg.inv(Q.conj().T @ Q + damping * np.eye(Q.shape[1]))
        assert np.allclose(new, old - 0.01 * expected, rtol=1e-9, atol=1e-12)
        assert not np.allclose(new, old - 0.01 * g, rtol=1e-3)


def refactored(model, L, R):
    """Return a model with factors LQ and RQ⁻ᵀ, which make the same matrix."""
    Q = np.random.default_rng(1).standard_normal((2, 2)) + 3 * np.diag([1.0, 0.05])
    other = fnn.FactoredModel(model.problem, 2)
    other.set_factors((L @ Q, R @ np.linalg.inv(Q).T))
    return other


@pytest.mark.parametrize("scaled", [True, False])
def test_the_way_of_x_is_the_same_from_all_its_factors(scaled):
    _, model = model_of("product")
    other = refactored(model, *model.factors())
    assert np.allclose(model.matrix(), other.matrix())
    for _ in range(5):
        for each in (model, other):
            step(each, 0.0, scaled=scaled)
    assert np.allclose(model.matrix(), other.matrix(), rtol=1e-8) is scaled


def test_x_moves_along_the_projected_gradient():
    """``ΔX = −lr (S P_R + P_L S)`` to first order, S the gradient in X."""
    instance, model = model_of("product")
    problem, (L, R), lr = instance.problem, model.factors(), 1e-6
    X = L @ R.T
    residual = problem.measurement.forward(X) - problem.data
    S = problem.measurement.adjoint(2 * residual / len(residual))
    expected = -lr * (S @ R @ np.linalg.pinv(R) + L @ np.linalg.pinv(L) @ S)
    step(model, 0.0, lr)
    assert np.allclose(model.matrix() - X, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("scaled", [True, False])
def test_how_well_x_is_conditioned_plays_no_part(scaled):
    """Forty steps from near a target with singular values 1 and 1/κ are enough for κ = 30 if they are for 2."""
    rng, errors = np.random.default_rng(0), []
    U, V = np.linalg.qr(rng.standard_normal((6, 2)))[0], np.linalg.qr(rng.standard_normal((5, 2)))[0]
    for condition in (2.0, 30.0):
        root = np.diag([1.0, 1 / condition]) ** 0.5
        matrix = U @ root @ root @ V.T
        measurement = fm.families.matrix_sensing.sample((6, 5), 2, 400).problem.measurement
        model = fnn.FactoredModel(fm.Problem(measurement, measurement.forward(matrix)), 2)
        model.set_factors((1.1 * U @ root, 1.1 * V @ root))
        scale = 0.5 / np.mean(measurement.forward(matrix) ** 2) * np.sum(matrix**2)
        for _ in range(40):
            step(model, 0.0, lr=0.5 * scale, scaled=scaled)
        errors.append(np.linalg.norm(model.matrix() - matrix) * condition)
    assert bool(errors[1] < 1e-6) is scaled
    if scaled:
        assert errors[0] < 1e-6


def test_a_singular_partner_and_other_models_are_refused():
    _, model = model_of("product", rank=3)
    L, R = model.factors()
    model.set_factors((L, R * [1, 1, 0]))
    with pytest.raises(InputError, match="singular, expected a damping above 0"):
        step(model, 0.0)
    step(model, 1e-3)
    net = nn.Linear(3, 2)
    with pytest.raises(InputError, match="the model is a Linear"):
        fnn.ScaledGradient(torch.optim.SGD(net.parameters(), lr=0.1), net, nn.MSELoss())
    problem = fm.Problem(fm.measurements.Dense(np.eye(4)[:, :, None]), np.ones(4), fm.parametrizations.Hadamard(2))
    depth = fnn.FactoredModel(problem)
    with pytest.raises(InputError, match="the model is a Hadamard, expected a FactoredModel of a Product, Gram or"):
        fnn.ScaledGradient(torch.optim.SGD(depth.parameters(), lr=0.1), depth, nn.MSELoss())
