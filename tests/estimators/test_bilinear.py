"""Bilinear regression: the joint fit, recovery, noise, and what units and origins do."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from tests.estimators.joint_fit import joint_bound, joint_fit

SHAPE = (6, 5)


def pairs(m=200, noise=0.0, seed=0, linear=False):
    """Return samples [a, b], values, M of rank two, and a constant."""
    rng = np.random.default_rng(seed)
    X, (d1, d2) = rng.standard_normal((m, sum(SHAPE))), SHAPE
    M = rng.standard_normal((d1, 2)) @ rng.standard_normal((2, d2))
    y = np.einsum("mi,ij,mj->m", X[:, :d1], M, X[:, d1:]) + 3
    if linear:
        y = y + X @ rng.standard_normal(d1 + d2)
    return X, y + noise * np.std(y) * rng.standard_normal(m), M


def regressor(alpha="auto", **settings):
    return fm.BilinearRegressor(alpha, n_left=SHAPE[0], **settings)


@pytest.mark.parametrize(("linear", "constant"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_general_solver_finds_the_same(linear, constant, weighted):
    X, y, _ = pairs(50, noise=0.3, linear=True)
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y)) if weighted else np.ones(len(y))
    weight = weight / weight.mean()
    model = regressor(0.05, fit_linear=linear, fit_intercept=constant, tol=1e-10)
    model.fit(X, y, sample_weight=weight if weighted else None)
    Z = X - np.average(X, axis=0, weights=weight) if linear and constant else X
    columns = np.hstack([np.ones((len(y), int(constant))), Z if linear else Z[:, :0]])
    r, (a, b) = np.sqrt(weight)[:, None], np.split(Z, [SHAPE[0]], axis=1)
    tensor = (r * a)[:, :, None] * b[:, None, :]
    M, z, value = joint_fit(tensor, r * columns, r[:, 0] * y, 0.05, symmetric=False)
    assert model.certificate_.holds
    assert model.certificate_.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.coef_, M, atol=1e-4)
    want = np.einsum("mi,ij,mj->m", a, M, b) + columns @ z
    np.testing.assert_allclose(model.predict(X), want, atol=1e-4 * np.std(y))
    dual = model.solution_.certificate.dual
    if columns.shape[1]:
        dual = fm.measurements.Projected(fm.measurements.Dense(tensor), r * columns).expanded(dual)
    bound, infeasible = joint_bound(tensor, r * columns, r[:, 0] * y, 0.05, dual, symmetric=False)
    assert infeasible < 1e-10 * np.abs(dual).max()
    assert bound == pytest.approx(model.certificate_.lower_bound, rel=1e-9)


class TestRecovery:
    @pytest.mark.parametrize("linear", [False, True])
    def test_exact_data_are_fitted_and_proved_so(self, linear):
        X, y, M = pairs(linear=linear)
        model = regressor(0, fit_linear=linear).fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        assert model.rank_ == 2
        np.testing.assert_allclose(model.coef_, M, atol=1e-7)
        assert model.intercept_ == pytest.approx(3, abs=1e-7)

    def test_a_recovered_instance(self):
        instance = fm.families.bilinear_sensing.sample((12, 10), 1, 80)
        measurement = instance.problem.measurement
        X = np.hstack([measurement.left, measurement.right])
        model = fm.BilinearRegressor(0, n_left=12, fit_intercept=False).fit(X, instance.problem.data)
        np.testing.assert_allclose(model.coef_, instance.truth, atol=1e-6)
        assert model.certificate_.value == pytest.approx(fm.flat_minimum(instance.problem).certificate.value)

    @pytest.mark.parametrize("m", [60, 300])
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_noise_of_unknown_level(self, m, seed):
        X, y, M = pairs(m, 0.1, seed)
        model, sigma = regressor().fit(X, y), 0.1 * np.std(pairs(m, seed=seed)[1])
        assert model.rank_ == 2
        assert model.certificate_.holds
        assert abs(model.noise_.sigma - sigma) < 3.5 * model.noise_.std_error
        assert np.linalg.norm(model.coef_ - M) < 0.2 * np.linalg.norm(M)

    def test_linear_data_need_linear_terms(self):
        X, y, M = pairs(300, 0.05, linear=True)
        without, with_them = (regressor(fit_linear=linear).fit(X, y) for linear in (False, True))
        assert with_them.rank_ == 2
        assert np.linalg.norm(with_them.coef_ - M) < 0.1 * np.linalg.norm(M)
        assert with_them.score(X, y) > 0.99 > without.score(X, y)


class TestUnits:
    @pytest.mark.parametrize("alpha", [0.05, "auto"])
    def test_with_linear_terms_the_origin_does_not_matter(self, alpha):
        X, y, _ = pairs(100, 0.1)
        origin = np.linspace(-3e3, 5e3, sum(SHAPE))
        here, there = (regressor(alpha, fit_linear=True).fit(Z, y) for Z in (X, X + origin))
        np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-6)
        np.testing.assert_allclose(there.predict(X + origin), here.predict(X), atol=1e-6)

    def test_without_them_it_does(self):
        X, y, _ = pairs(100, 0.1)
        here, there = (regressor(0.05).fit(Z, y) for Z in (X, X + 2))
        assert abs(there.coef_ - here.coef_).max() > 1e-2

    @pytest.mark.parametrize("alpha", [0.05, "auto"])
    @pytest.mark.parametrize("linear", [False, True])
    def test_common_units_of_either_side_and_of_values(self, alpha, linear):
        X, y, _ = pairs(100, 0.1)
        units = np.repeat([1e3, 1e-2], SHAPE)
        here = regressor(alpha, fit_linear=linear).fit(X, y)
        there = regressor(alpha if alpha == "auto" else 0.7 * alpha, fit_linear=linear).fit(X * units, 7 * y - 1e3)
        np.testing.assert_allclose(there.coef_ * 10, 7 * here.coef_, atol=1e-5)
        np.testing.assert_allclose(there.predict(X * units), 7 * here.predict(X) - 1e3, atol=1e-4)

    def test_order_of_features_of_samples_and_of_sides(self):
        X, y, _ = pairs(100, 0.1)
        rng = np.random.default_rng(0)
        samples, (d1, d2) = rng.permutation(len(y)), SHAPE
        left, right = rng.permutation(d1), rng.permutation(d2)
        here = regressor(0.05).fit(X, y)
        there = regressor(0.05).fit(X[np.ix_(samples, np.concatenate([left, d1 + right]))], y[samples])
        np.testing.assert_allclose(there.coef_, here.coef_[np.ix_(left, right)], atol=1e-6)
        swapped = fm.BilinearRegressor(0.05, n_left=d2).fit(np.roll(X, d2, axis=1), y)
        np.testing.assert_allclose(swapped.coef_, here.coef_.T, atol=1e-6)

    @pytest.mark.parametrize("linear", [False, True])
    def test_a_weight_of_two_is_two_samples(self, linear):
        X, y, _ = pairs(80, 0.1)
        times = np.random.default_rng(0).integers(0, 4, len(y))
        weighted = regressor(0.05, fit_linear=linear).fit(X, y, sample_weight=times)
        repeated = regressor(0.05, fit_linear=linear).fit(X.repeat(times, axis=0), y.repeat(times))
        np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


class TestAttributes:
    def test_prediction_is_the_formula(self):
        X, y, _ = pairs(100, 0.1, linear=True)
        model = regressor(fit_linear=True).fit(X + 4, y)
        L, R = model.factors_
        np.testing.assert_allclose(model.coef_, L @ R.T)
        assert L.shape == (SHAPE[0], model.rank_)
        a, b = np.split(X, [SHAPE[0]], axis=1)
        by_hand = np.einsum("mi,ij,mj->m", a, model.coef_, b) + X @ model.linear_ + model.intercept_
        np.testing.assert_allclose(model.predict(X), by_hand, atol=1e-9 * np.abs(y).max())

    def test_half_of_the_features_is_left(self):
        X, y, _ = pairs(100, 0.1)
        assert fm.BilinearRegressor(0.1).fit(X, y).coef_.shape == (5, 6)
        assert fm.BilinearRegressor(0.1).fit(X[:, :4], y).coef_.shape == (2, 2)

    @pytest.mark.parametrize("n_left", [0, 11, -1, 2.0, "x", True])
    def test_sides_that_are_none(self, n_left):
        X, y, _ = pairs(20)
        with pytest.raises(InputError, match=r"n_left is .*, expected a whole number from 1 to 10$"):
            fm.BilinearRegressor(n_left=n_left).fit(X, y)

    def test_one_feature(self):
        with pytest.raises(InputError, match=r"X has 1 feature\(s\), expected at least one for each side"):
            fm.BilinearRegressor().fit(np.ones((5, 1)), np.ones(5))
