"""Exact fits, optimal multipliers and the nearest data, against dense linear algebra."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones import Rectangular
from flatmin.solvers.factored.refine import EXACT, correct_dual, fit_exactly, largest_drop, project_data


def _model(seed=0, m=40, shape=(7, 5)):
    tensor = np.random.default_rng(seed).standard_normal((m, *shape))
    return Rectangular().quadratic_map(fm.measurements.Dense(tensor)), tensor


def _factors(model, seed=1, rank=2):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.standard_normal((d, rank)) for d in model.whitened.shape])


def test_a_nearby_point_moves_onto_the_data():
    model, _ = _model()
    truth = _factors(model)
    b = model.value(truth)
    near = truth + 1e-3 * np.random.default_rng(2).standard_normal(truth.shape)
    found, misfit = fit_exactly(model, b, near, model.value(near), enough=0.0)
    assert misfit <= 10 * EXACT
    np.testing.assert_allclose(model.value(found), b, atol=1e-11 * np.linalg.norm(b))


def test_small_components_are_dropped_where_a_smaller_rank_fits():
    model, _ = _model()
    truth = _factors(model)
    b = model.value(truth)
    wide = np.hstack([truth, 1e-4 * _factors(model, 3, 1)])
    found, misfit = fit_exactly(model, b, wide, model.value(wide), enough=np.inf)
    assert misfit <= 10 * EXACT
    assert np.linalg.matrix_rank(found[:7] @ found[7:].T, tol=1e-9) == 2


def test_the_corrected_multiplier_makes_the_point_stationary():
    model, _ = _model()
    x = _factors(model)
    U, s, V = model.canonical(x)
    x = model.stack(U, s, V)
    y, norm = correct_dual(model, x, np.zeros(40), 0)
    np.testing.assert_allclose(model.apply(model.dual_matrix(y), x), x, atol=1e-10 * np.linalg.norm(x))
    assert norm == pytest.approx(np.linalg.norm(model.dual_matrix(y), 2), rel=1e-6)


def test_contradictory_data_are_projected_on_those_that_fit():
    model, tensor = _model(m=50, shape=(4, 3))
    b = np.random.default_rng(4).standard_normal(50)
    nearest, distance = project_data(model, b)
    rows = tensor.reshape(50, -1)
    fitted = rows @ np.linalg.lstsq(rows, b, rcond=None)[0]
    np.testing.assert_allclose(nearest, fitted, atol=1e-9)
    assert distance == pytest.approx(np.linalg.norm(b - fitted) / np.linalg.norm(b))


def test_data_that_fit_are_at_distance_zero():
    model, _ = _model(m=50, shape=(4, 3))
    b = model.value(_factors(model))
    assert project_data(model, b)[1] < 1e-8


def test_the_largest_drop_is_relative_and_values_below_the_floor_count_as_the_floor():
    assert largest_drop(np.array([5.0, 4.0, 1e-3, 1e-5])) == 2
    assert largest_drop(np.array([5.0, 1e-9, 1e-20, 0.0])) == 1
    assert largest_drop(np.array([5.0, 4.0, 1e-3, 1e-5]), floor=1.0) == 2
    assert largest_drop(np.ones(1)) == largest_drop(np.zeros(0)) == 1
