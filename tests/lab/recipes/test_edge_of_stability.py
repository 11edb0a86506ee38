"""The central flow against derivatives by differences, its conditions, and a case with a closed form."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes._edge_of_stability import BilinearLoss, central_flow, gradient_descent


def _loss(model="matrices", seed=0):
    if model == "matrices":
        return BilinearLoss.from_problem(fm.families.matrix_sensing.sample((4, 3), 1, 7, seed=seed).problem, 2)
    return BilinearLoss.from_problem(fm.families.sparse_regression.sample(6, 2, 4, seed=seed).problem, 1)


def _scalar():
    """The loss (u v − 1)², whose Hessian has the largest eigenvalue 2 (u² + v²) where it is zero."""
    return BilinearLoss(np.ones((1, 1, 1)), np.ones(1))


def test_the_loss_is_that_of_the_problem():
    problem = fm.families.matrix_sensing.sample((4, 3), 1, 7).problem
    L, R = problem.parametrization.random((4, 3), 2, np.random.default_rng(1))
    value = BilinearLoss.from_problem(problem, 2).value(np.concatenate([L.ravel(), R.ravel()]))
    assert value == pytest.approx(problem.loss.value(problem.residual((L, R))))
    problem = fm.families.sparse_regression.sample(6, 2, 4).problem
    u, v = problem.parametrization.random((6, 1), 1, np.random.default_rng(1))
    value = BilinearLoss.from_problem(problem, 1).value(np.concatenate([u[:, 0], v[:, 0]]))
    assert value == pytest.approx(problem.loss.value(problem.residual((u, v))))


@pytest.mark.parametrize("model", ["matrices", "vectors"])
def test_derivatives_agree_with_differences(model):
    loss, rng = _loss(model), np.random.default_rng(2)
    w, x, y = rng.standard_normal((3, sum(loss.sizes)))
    h = 1e-5
    slope = (loss.value(w + h * x) - loss.value(w - h * x)) / (2 * h)
    assert loss.gradient(w) @ x == pytest.approx(slope, rel=1e-7)
    assert loss.hessian(w) @ x == pytest.approx((loss.gradient(w + h * x) - loss.gradient(w - h * x)) / (2 * h))
    change = (loss.hessian(w + h * x) - loss.hessian(w - h * x)) @ y / (2 * h)
    assert loss.third(w, x, y) == pytest.approx(change)


def test_the_oscillation_keeps_the_sharpness_at_the_edge():
    loss = _loss(seed=3)
    start = 0.7 * np.random.default_rng(3).standard_normal(sum(loss.sizes))
    w = list(central_flow(loss, start, lambda _: 0.01, 400, stable=True))[-1].weights
    sharpness = np.linalg.eigvalsh(loss.hessian(w))[-1]
    size = 2 / (0.8 * sharpness)
    steps = list(central_flow(loss, w, lambda t: size * min(1.0, 0.7 + 0.3 * t / 300), 300))
    assert any(state.covariance.any() for state in steps)
    for t, state in enumerate(steps):
        limit = 2 / (size * min(1.0, 0.7 + 0.3 * (t + 1) / 300))
        H = loss.hessian(state.weights)
        assert np.linalg.eigvalsh(H)[-1] <= 1.01 * limit
        assert np.linalg.eigvalsh(state.covariance)[0] >= -1e-9
        assert np.trace(state.covariance @ (limit * np.eye(len(H)) - H)) <= 0.02 * limit * np.trace(state.covariance)


def test_the_flow_of_a_scalar_product_ends_where_its_sharpness_is_two_over_the_step_size():
    loss, size = _scalar(), 0.25
    start = np.array([2.2, 0.1])
    free = list(central_flow(loss, start, lambda _: 0.02, 2000, stable=True))[-1]
    assert free.weights[0] ** 2 - free.weights[1] ** 2 == pytest.approx(2.2**2 - 0.1**2, rel=1e-2)
    assert free.sharpness > 2 / size
    last = list(central_flow(loss, start, lambda t: size * min(1.0, 0.5 + 0.5 * t / 500), 800))[-1]
    u, v = last.weights
    assert u * v == pytest.approx(1, abs=1e-3)
    assert 2 * (u**2 + v**2) == pytest.approx(2 / size, rel=1e-2)


def test_gradient_descent_follows_and_ends_when_it_diverges():
    loss = _scalar()
    path = list(gradient_descent(loss, np.array([2.2, 0.1]), lambda t: 0.02, 500, noise=0.0, seed=0))
    assert loss.value(path[-1]) < 1e-12
    assert len(list(gradient_descent(loss, np.array([9.0, 9.0]), lambda t: 1.0, 100, noise=0.0, seed=0))) < 100
