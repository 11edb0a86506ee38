"""The search for the flattest layers, against exact traces, certificates and a saddle."""

from functools import reduce

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab.recipes._flattest_layers import _Search, flattest_layers, layers_of


def drawn(d, rank, m, depth, seed):
    sample = fm.families.matrix_sensing.sample((d, d), rank, m, seed=seed)
    problem = fm.Problem(sample.problem.measurement, sample.problem.data, fm.Chain((d,) * (depth - 1)))
    return problem, sample.truth


def moved(layers, size, seed):
    rng = np.random.default_rng(seed)
    return tuple(W + size * rng.standard_normal(W.shape) for W in layers)


@pytest.mark.parametrize("widths", [(3,), (5, 2), (4, 3, 6, 2)])
def test_value_and_gradient_of_what_is_minimised(widths):
    """The trace is that of the model, which is checked against explicit Hessians; the gradient by differences."""
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((7, 4, 3)), rng.standard_normal(7)
    problem = fm.Problem(fm.measurements.Dense(A), b, fm.Chain(widths))
    search = _Search(problem, problem.data)
    layers = problem.parametrization.random((4, 3), 1, rng)
    weights, price, weight = np.concatenate([W.ravel() for W in layers]), rng.standard_normal(7), 0.7
    value, gradient = search.lagrangian(weights, price, weight)
    residual = problem.measurement.forward(reduce(lambda X, W: W @ X, layers)) - b
    trace = problem.parametrization.gauss_newton_trace(layers, problem.measurement, problem.metric)
    assert value == pytest.approx(trace + price @ residual + weight / 2 * residual @ residual)
    direction = rng.standard_normal(weights.size)
    step = 1e-6
    values = [search.lagrangian(weights + s * direction, price, weight)[0] for s in (step, -step)]
    assert gradient @ direction == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(("m", "seed"), [(14, 0), (26, 1)])
def test_two_layers_are_certified_flattest(m, seed):
    problem, _ = drawn(6, 1, m, 2, seed)
    start = moved(layers_of(problem, problem.measurement.adjoint(problem.data) / m), 0.05, seed)
    found = flattest_layers(problem, start)
    assert found.fits
    flattest = fm.flat_minimum(problem)
    assert found.trace == pytest.approx(flattest.certificate.lower_bound, rel=1e-7)
    np.testing.assert_allclose(found.matrix, flattest.matrix, atol=1e-4 * np.linalg.norm(flattest.matrix))


def test_a_stationary_truth_that_is_not_flattest_is_left():
    """This draw's truth is stationary; the certificate says that something else is flatter."""
    problem, truth = drawn(8, 1, 24, 2, 1)
    flattest = fm.flat_minimum(problem).certificate.value
    found = flattest_layers(problem, moved(layers_of(problem, truth), 1e-3, 0))
    at_truth = problem.parametrization.gauss_newton_trace(
        problem.parametrization.flattest(
            *problem.parametrization.cone.decompose(problem.metric[0] @ truth, problem.metric[1]), problem.metric
        ),
        problem.measurement,
        problem.metric,
    )
    assert at_truth > 1.003 * flattest
    assert found.trace == pytest.approx(flattest, rel=1e-7)


def test_layers_where_all_matrices_are_seen_alike_are_the_flattest():
    """With as many orthonormal measurements as entries the closed form is known at every depth."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((16, 16)))[0].reshape(16, 4, 4)
    truth = np.outer(rng.standard_normal(4), rng.standard_normal(4))
    A = fm.measurements.Dense(basis)
    problem = fm.Problem(A, A.forward(truth), fm.Chain((4, 4)))
    flattest = fm.flat_minimum(problem).certificate.value
    layers = layers_of(problem, truth)
    value = problem.parametrization.gauss_newton_trace(layers, A, problem.metric)
    assert value == pytest.approx(flattest)
    found = flattest_layers(problem, moved(layers_of(problem, rng.standard_normal((4, 4))), 0.1, 0))
    assert found.fits
    assert found.trace == pytest.approx(flattest, rel=1e-6)


def test_what_is_refused():
    problem, _ = drawn(3, 1, 5, 3, 0)
    other = fm.families.matrix_sensing.sample((3, 3), 1, 5, seed=0).problem
    with pytest.raises(InputError, match=r"the parametrization is Product.*expected a Chain"):
        layers_of(other, np.eye(3))
    with pytest.raises(InputError, match="expected at most 400 entries"):
        layers_of(fm.Problem(fm.measurements.Identity((21, 20)), np.zeros(420), fm.Chain((2,))), np.eye(21))
    with pytest.raises(InputError, match="the data are zero"):
        flattest_layers(fm.Problem(problem.measurement, np.zeros(5), problem.parametrization), (np.eye(3),) * 3)
    with pytest.raises(InputError, match="W_2 has shape"):
        flattest_layers(problem, (np.eye(3), np.ones((2, 3)), np.eye(3)))
