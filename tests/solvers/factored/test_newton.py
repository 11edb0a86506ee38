"""Newton's method of one round: gradients, exact steps and preconditioners."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored import newton
from flatmin.solvers.factored.newton import (
    _blockwise_inverse,
    _conjugate_gradients,
    _quartic_minimiser,
    _stationarity,
    minimise,
)


@pytest.mark.parametrize("sigma", [1e9, 1e17])
def test_columns_that_are_alike_leave_a_newton_step_to_go(sigma):
    """The blocks of its preconditioner are singular but for what a penalty this large hides in rounding."""
    problem = fm.families.matrix_completion.sample((6, 5), 1, 20, seed=0).problem
    model, ones = StackedProduct(problem.measurement), np.ones((11, 3))
    end = minimise(model, ones, model.value(ones), problem.data, sigma, 1e-6, Clock(max_iter=5))
    assert end.steps > 0
    assert np.isfinite(end.x).all()
    assert np.linalg.norm(end.value - problem.data) < np.linalg.norm(model.value(ones) - problem.data)


def _objective(model, x, target, rho):
    return 0.5 * np.sum(x**2) + rho / 2 * np.sum((model.value(x) - target) ** 2)


def _round(seed=0):
    problem = fm.families.matrix_sensing.sample((6, 5), 1, 25, seed=seed).problem
    model = StackedProduct(problem.measurement)
    return model, np.random.default_rng(seed).standard_normal((11, 2)), problem.data


def test_the_gradient_vanishes_at_the_minimum_by_finite_differences():
    model, x, target = _round()
    end = minimise(model, x, model.value(x), target, 3.0, 1e-10, Clock(), 200)
    assert end.gradient <= 1e-10
    np.testing.assert_allclose(end.value, model.value(end.x), atol=1e-12)
    rng = np.random.default_rng(1)
    for _ in range(3):
        d = rng.standard_normal(x.shape)
        ahead, back = (_objective(model, end.x + t * d, target, 3.0) for t in (1e-5, -1e-5))
        assert abs(ahead - back) / 2e-5 < 1e-6 * abs(_objective(model, end.x, target, 3.0))


def test_stationarity_is_the_gradient():
    model, x, target = _round()
    gradient, relative = _stationarity(model, model.dual_matrix(3.0 * (target - model.value(x))), x)
    d = np.random.default_rng(2).standard_normal(x.shape)
    slope = (_objective(model, x + 1e-6 * d, target, 3.0) - _objective(model, x - 1e-6 * d, target, 3.0)) / 2e-6
    assert np.vdot(gradient, d) == pytest.approx(slope, rel=1e-6)
    assert relative == pytest.approx(np.linalg.norm(gradient) / np.linalg.norm(x))


def test_the_step_length_minimises_the_quartic():
    model, x, target = _round()
    d = np.random.default_rng(3).standard_normal(x.shape)
    derivative = model.linearize(x)
    t = _quartic_minimiser(x, d, target - model.value(x), derivative.forward(d), model.value(d), 3.0)
    values = [_objective(model, x + s * d, target, 3.0) for s in np.linspace(-5, 5, 2001)]
    assert _objective(model, x + t * d, target, 3.0) <= min(values) + 1e-9


def test_conjugate_gradients_solve_the_newton_system():
    model, x, target = _round()
    x = minimise(model, x, model.value(x), target, 3.0, 1e-3, Clock(), 100).x
    S = model.dual_matrix(3.0 * (target - model.value(x)))
    gradient, _ = _stationarity(model, S, x)
    derivative = model.linearize(x)
    precondition = _blockwise_inverse(derivative, 3.0)
    d = _conjugate_gradients(model, derivative, S, gradient, 3.0, 1e-12, precondition, Clock())
    left = d - model.apply(S, d) + 3.0 * derivative.adjoint(derivative.forward(d)) + gradient
    assert np.linalg.norm(left) < 1e-8


def test_large_blocks_are_formed_in_single_precision(monkeypatch):
    model, x, _ = _round()
    kinds, blocks = list[np.dtype](), type(model).blocks

    def watched(self, x):
        kinds.append(x.dtype)
        return blocks(self, x)

    r = np.random.default_rng(4).standard_normal(x.shape)
    exact = _blockwise_inverse(model.linearize(x), 3.0)(r)
    monkeypatch.setattr(type(model), "blocks", watched)
    monkeypatch.setattr(newton, "SCHEDULE", replace(newton.SCHEDULE, large_blocks=1))
    np.testing.assert_allclose(_blockwise_inverse(model.linearize(x), 3.0)(r), exact, atol=1e-5)
    assert kinds == [np.float32]
    _blockwise_inverse(model.linearize(x), 1e3)
    assert kinds == [np.float32, np.float64]


def test_limits_stop_it():
    model, x, target = _round()
    clock = Clock(max_iter=2)
    end = minimise(model, x, model.value(x), target, 3.0, 1e-14, clock)
    assert clock.iterations == 2
    assert end.gradient > 1e-14
