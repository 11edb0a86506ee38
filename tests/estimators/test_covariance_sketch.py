"""Covariance from quadratic sketches: recovery, noise, units, order, weights."""

import cvxpy as cp
import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from flatmin.estimators import CovarianceSketch
from flatmin.testing import expected_failed_checks


def sketches(m=200, d=10, rank=2, *, noise=0.0, seed=0):
    """Return vectors, energies and the covariance."""
    rng = np.random.default_rng(seed)
    X, U = rng.standard_normal((m, d)), rng.standard_normal((d, rank))
    y = ((X @ U) ** 2).sum(axis=1)
    return X, y + noise * np.sqrt(np.mean(y**2)) * rng.standard_normal(m), U @ U.T


def error(found, truth):
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)


@pytest.mark.sampled(60)
@parametrize_with_checks([CovarianceSketch(), CovarianceSketch(0.1)], expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def test_exact_energies_determine_the_covariance():
    X, y, truth = sketches()
    model = CovarianceSketch(0).fit(X, y)
    assert model.status_.name == "unique_flat_minimum"
    assert model.rank_ == 2
    assert error(model.covariance_, truth) < 1e-9
    np.testing.assert_allclose(model.predict(X), y, atol=1e-9 * y.max())


def test_components_are_eigenvectors_in_order():
    X, y, truth = sketches(rank=3, noise=0.05)
    model = CovarianceSketch().fit(X, y)
    values, found = np.linalg.eigvalsh(truth)[:-4:-1], model.explained_variance_
    assert np.all(np.diff(found) < 0)
    np.testing.assert_allclose(found, values, rtol=0.1)
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose((model.components_.T * found) @ model.components_, model.covariance_, atol=1e-12)


def test_noise_is_told_from_components():
    errors = []
    for seed in range(4):
        X, y, truth = sketches(400, 20, noise=0.2, seed=seed)
        model, penalised = CovarianceSketch().fit(X, y), CovarianceSketch(refit=False).fit(X, y)
        assert model.certificate_.holds
        assert model.rank_ == 2 < penalised.rank_
        level = 0.2 * np.sqrt(np.mean(sketches(400, 20, seed=seed)[1] ** 2))
        assert abs(model.noise_.sigma - level) < 4 * model.noise_.std_error
        errors.append([error(one.covariance_, truth) for one in (model, penalised)])
    refit, plain = np.mean(errors, axis=0)
    assert refit < 0.9 * plain


@pytest.mark.parametrize("weighted", [False, True])
def test_a_general_solver_finds_the_same_penalised_covariance(weighted):
    X, y, _ = sketches(60, d=6, noise=0.2)
    weight = np.random.default_rng(1).uniform(0.2, 3, 60) if weighted else np.ones(60)
    weight = weight / weight.mean()
    model = CovarianceSketch(0.05, tol=1e-10).fit(X, y, sample_weight=weight if weighted else None)
    D = (X.T * (weight * np.sum(X**2, axis=1))) @ X / 60
    S = cp.Variable((6, 6), PSD=True)
    fit = cp.sum(cp.multiply(X @ S, X), axis=1) - y
    objective = cp.sum(cp.multiply(weight / 60, cp.square(fit))) + 0.05 * 8 * cp.trace(D @ S)
    value = cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    assert model.certificate_.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.covariance_, S.value, atol=1e-4 * abs(S.value).max())


def test_order_units_and_coordinates():
    X, y, truth = sketches(noise=0.2)
    model, rng = CovarianceSketch().fit(X, y), np.random.default_rng(1)
    order, Q = rng.permutation(len(y)), np.linalg.qr(rng.standard_normal((10, 10)))[0]
    size = np.abs(truth).max()
    np.testing.assert_allclose(
        CovarianceSketch().fit(X[order], y[order]).covariance_, model.covariance_, atol=2e-3 * size
    )
    np.testing.assert_allclose(
        1e8 * CovarianceSketch().fit(1e2 * X, 1e-4 * y).covariance_, model.covariance_, atol=2e-3 * size
    )
    turned = CovarianceSketch().fit(X @ Q, y)
    np.testing.assert_allclose(Q @ turned.covariance_ @ Q.T, model.covariance_, atol=2e-3 * size)
    np.testing.assert_allclose(turned.predict(X @ Q), model.predict(X), rtol=1e-2, atol=1e-3 * y.max())
    scale = np.arange(1.0, 11)  # units of single features, which least squares at a rank does not notice
    other = CovarianceSketch().fit(X / scale, y)
    np.testing.assert_allclose(other.covariance_ / np.outer(scale, scale), model.covariance_, atol=5e-3 * size)


def test_precise_samples_count_more():
    X, y, truth = sketches(400)
    noise = np.repeat([0.05, 1.0], 200) * y.mean()
    noisy = y + noise * np.random.default_rng(0).standard_normal(400)
    weighed = CovarianceSketch().fit(X, noisy, sample_weight=1 / noise**2)
    assert error(weighed.covariance_, truth) < 0.5 * error(CovarianceSketch().fit(X, noisy).covariance_, truth)


def test_nothing_but_noise_is_no_covariance():
    X = sketches()[0]
    model = CovarianceSketch().fit(X, np.random.default_rng(0).standard_normal(200))
    assert model.rank_ == 0
    assert model.components_.shape == (0, 10)
    np.testing.assert_array_equal(model.predict(X), np.zeros(200))


@pytest.mark.parametrize(("scale_x", "scale_y", "name"), [(1e150, 1, "X"), (1e-150, 1, "X"), (1, 1e-150, "y")])
def test_sizes_that_cannot_be_calculated_with_are_refused(scale_x, scale_y, name):
    X, y, _ = sketches(m=60, d=4)
    with pytest.raises(ValueError, match=f"the largest number of {name} is"):
        CovarianceSketch().fit(scale_x * X, scale_y * y)
