"""Quadratic networks on tables: the joint fit, recovery, noise, and what units and origins do."""

import numpy as np
import pytest

import flatmin as fm
from tests.estimators.joint_fit import joint_bound, joint_fit


def table(m=160, d=6, noise=0.0, seed=0, linear=1.0, offset=3.0):
    """Return inputs, outputs of a network with a positive and a negative neuron and linear terms, M, w and c."""
    rng = np.random.default_rng(seed)
    X, U, w = rng.standard_normal((m, d)), rng.standard_normal((d, 2)), linear * rng.standard_normal(d)
    M = U @ np.diag([1.0, -1.0]) @ U.T
    y = np.einsum("mi,ij,mj->m", X, M, X) + X @ w + offset
    return X, y + noise * np.std(y) * rng.standard_normal(m), M, w, offset


def standardised(X, weight, centred=True):
    mean = np.average(X, axis=0, weights=weight) if centred else 0.0
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))


class TestJointFit:
    @pytest.mark.parametrize(("linear", "constant"), [(True, True), (True, False), (False, True), (False, False)])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_a_general_solver_finds_the_same(self, linear, constant, weighted):
        X, y, *_ = table(60, 4, noise=0.3)
        X = X * [1.0, 10.0, 0.1, 3.0] + [0.0, 5.0, 1.0, -2.0]
        weight = np.random.default_rng(1).uniform(0.2, 3, len(y)) if weighted else np.ones(len(y))
        weight = weight / weight.mean()
        model = fm.QuadraticNetworkRegressor(0.05, fit_linear=linear, fit_intercept=constant, tol=1e-10)
        model.fit(X, y, sample_weight=weight if weighted else None)
        Z, r = standardised(X, weight, linear and constant), np.sqrt(weight)
        columns = np.hstack([np.ones((len(y), 1))[:, : int(constant)], Z if linear else Z[:, :0]])
        tensor, T = (r[:, None] * Z)[:, :, None] * Z[:, None, :], r[:, None] * columns
        M, z, value = joint_fit(tensor, T, r * y, 0.05, symmetric=True)
        assert model.certificate_.holds
        assert model.certificate_.value == pytest.approx(value, rel=1e-6)
        want = np.einsum("mi,ij,mj->m", Z, M, Z) + columns @ z
        np.testing.assert_allclose(model.predict(X), want, atol=1e-4 * np.std(y))
        dual = model.solution_.certificate.dual
        expanded = dual if not columns.shape[1] else _projected(tensor, T).expanded(dual)
        bound, infeasible = joint_bound(tensor, T, r * y, 0.05, expanded, symmetric=True)
        assert infeasible < 1e-10 * np.abs(dual).max()
        assert bound == pytest.approx(model.certificate_.lower_bound, rel=1e-9)

    @pytest.mark.parametrize("power", [0.0, 0.5])
    def test_between_nuclear_and_flat(self, power):
        X, y, *_ = table(60, 4, noise=0.3)
        model = fm.QuadraticNetworkRegressor(0.05, metric_power=power, scale=False, tol=1e-10).fit(X, y)
        T = np.column_stack([np.ones(len(y)), X])
        *_, value = joint_fit(X[:, :, None] * X[:, None, :], T, y, 0.05, symmetric=True, power=power)
        assert model.certificate_.value == pytest.approx(value, rel=1e-6)

    def test_fewer_samples_than_unknowns(self):
        X, y, *_ = table(25, 8, noise=0.3)
        model = fm.QuadraticNetworkRegressor(0.02, scale=False, tol=1e-10).fit(X, y)
        T = np.column_stack([np.ones(len(y)), X])
        *_, value = joint_fit(X[:, :, None] * X[:, None, :], T, y, 0.02, symmetric=True)
        assert model.certificate_.holds
        assert model.certificate_.value == pytest.approx(value, rel=1e-6)


def _projected(tensor, T):
    return fm.measurements.Projected(fm.measurements.Dense(tensor), T)


class TestRecovery:
    def test_exact_data_are_fitted_and_proved_so(self):
        X, y, M, w, c = table(120, 8)
        model = fm.QuadraticNetworkRegressor(0).fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        assert model.rank_ == 2
        assert sorted(model.signs_) == [-1.0, 1.0]
        np.testing.assert_allclose(model.matrix_, M, atol=1e-7)
        np.testing.assert_allclose(model.linear_, w, atol=1e-7)
        assert model.intercept_ == pytest.approx(c, abs=1e-7)

    def test_fewer_samples_than_coefficients_suffice(self):
        """A full quadratic in 12 features has 91 coefficients."""
        X, y, M, *_ = table(85, 12, seed=1)
        model = fm.QuadraticNetworkRegressor(0).fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        np.testing.assert_allclose(model.matrix_, M, atol=1e-6)

    def test_far_below_that_it_is_certified_and_not_the_truth(self):
        X, y, M, *_ = table(40, 12, seed=1)
        model = fm.QuadraticNetworkRegressor(0).fit(X, y)
        assert model.certificate_.holds
        assert np.abs(model.matrix_ - M).max() > 0.1

    @pytest.mark.parametrize(("m", "d"), [(400, 8), (150, 12)])
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_noise_of_unknown_level(self, m, d, seed):
        X, y, *_ = table(m, d, noise=0.1, seed=seed)
        model, sigma = fm.QuadraticNetworkRegressor().fit(X, y), 0.1 * np.std(table(m, d, seed=seed)[1])
        assert model.rank_ == 2
        assert model.certificate_.holds
        assert abs(model.noise_.sigma - sigma) < 3.5 * model.noise_.std_error
        assert model.score(X, y) > 0.97

    def test_the_refit_fits_better_than_the_penalised_solution(self):
        X, y, *_ = table(200, 8, noise=0.2)
        shrunk, refit = (fm.QuadraticNetworkRegressor(0.1, refit=refit).fit(X, y) for refit in (False, True))
        assert refit.score(X, y) > shrunk.score(X, y)

    def test_pure_noise_has_no_neuron(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((200, 5))
        model = fm.QuadraticNetworkRegressor().fit(X, X[:, 0] + rng.standard_normal(200))
        assert model.rank_ == 0
        assert model.neurons_.shape == (0, 5)
        coefficients = np.linalg.lstsq(np.column_stack([np.ones(200), X]), model.predict(X), rcond=None)[0]
        np.testing.assert_allclose(model.linear_, coefficients[1:], atol=1e-9)


class TestUnits:
    ALPHAS = (0.05, "auto")

    @pytest.mark.parametrize("alpha", ALPHAS)
    def test_units_and_origin_of_the_inputs_do_not_matter(self, alpha):
        X, y, *_ = table(120, 5, noise=0.1)
        units, origin = np.array([1e-3, 1.0, 50.0, 1e4, 1.0]), np.array([0.0, 3.0, -2e3, 1e5, 1.0])
        here, there = (fm.QuadraticNetworkRegressor(alpha).fit(Z, y) for Z in (X, X * units + origin))
        np.testing.assert_allclose(there.predict(X * units + origin), here.predict(X), atol=1e-5)
        np.testing.assert_allclose(there.matrix_ * np.outer(units, units), here.matrix_, atol=1e-5)
        slope = here.linear_ / units - 2 * there.matrix_ @ origin
        np.testing.assert_allclose(there.linear_ * units, slope * units, atol=1e-4)
        assert there.certificate_.value == pytest.approx(here.certificate_.value, rel=1e-8)

    def test_units_matter_without_scaling(self):
        X, y, *_ = table(120, 5, noise=0.1)
        units = np.array([1e-2, 1.0, 50.0, 1e2, 1.0])
        here, there = (fm.QuadraticNetworkRegressor(0.05, scale=False).fit(Z, y) for Z in (X, X * units))
        assert abs(there.predict(X * units) - here.predict(X)).max() > 1e-2

    def test_the_origin_matters_without_linear_terms(self):
        X, y, *_ = table(120, 5, noise=0.1)
        here, there = (fm.QuadraticNetworkRegressor(0.05, fit_linear=False).fit(Z, y) for Z in (X, X + 3))
        assert abs(there.predict(X + 3) - here.predict(X)).max() > 1e-2

    @pytest.mark.parametrize("alpha", ALPHAS)
    def test_units_and_origin_of_the_outputs(self, alpha):
        X, y, *_ = table(120, 5, noise=0.1)
        here = fm.QuadraticNetworkRegressor(alpha).fit(X, y)
        there = fm.QuadraticNetworkRegressor(alpha if alpha == "auto" else 1e3 * alpha).fit(X, 1e3 * y - 5e4)
        np.testing.assert_allclose(there.matrix_, 1e3 * here.matrix_, atol=1e-2)
        np.testing.assert_allclose(there.predict(X), 1e3 * here.predict(X) - 5e4, atol=1e-2)

    def test_the_order_of_features_does_not_matter(self):
        X, y, *_ = table(120, 5, noise=0.1)
        order = np.array([3, 0, 4, 1, 2])
        here, there = (fm.QuadraticNetworkRegressor(0.05).fit(Z, y) for Z in (X, X[:, order]))
        np.testing.assert_allclose(there.matrix_, here.matrix_[np.ix_(order, order)], atol=1e-6)

    def test_nor_that_of_samples(self):
        X, y, *_ = table(120, 5, noise=0.1)
        order = np.random.default_rng(0).permutation(len(y))
        here, there = fm.QuadraticNetworkRegressor(0.05).fit(X, y), fm.QuadraticNetworkRegressor(0.05)
        np.testing.assert_allclose(there.fit(X[order], y[order]).matrix_, here.matrix_, atol=1e-6)

    def test_a_weight_of_two_is_two_samples(self):
        X, y, *_ = table(80, 4, noise=0.1)
        times = np.random.default_rng(0).integers(0, 4, len(y))
        weighted = fm.QuadraticNetworkRegressor(0.05).fit(X, y, sample_weight=times)
        repeated = fm.QuadraticNetworkRegressor(0.05).fit(X.repeat(times, axis=0), y.repeat(times))
        np.testing.assert_allclose(weighted.matrix_, repeated.matrix_, atol=1e-6)


class TestAttributes:
    def test_neurons_and_terms_are_the_prediction(self):
        X, y, *_ = table(150, 6, noise=0.2)
        X = X * 7 + 2
        model = fm.QuadraticNetworkRegressor().fit(X, y)
        assert model.neurons_.shape == (model.rank_, 6)
        np.testing.assert_allclose((model.neurons_.T * model.signs_) @ model.neurons_, model.matrix_)
        by_hand = (X @ model.neurons_.T) ** 2 @ model.signs_ + X @ model.linear_ + model.intercept_
        np.testing.assert_allclose(model.predict(X), by_hand, rtol=1e-9, atol=1e-9 * np.abs(y).max())

    def test_neurons_come_by_size(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((200, 4))
        model = fm.QuadraticNetworkRegressor().fit(X, X[:, 0] ** 2 - 9 * X[:, 2] ** 2 + 0.1 * rng.standard_normal(200))
        assert list(model.signs_) == [-1.0, 1.0]
        assert list(np.argmax(np.abs(model.neurons_), axis=1)) == [2, 0]
        assert all(row[np.argmax(np.abs(row))] > 0 for row in model.neurons_)

    def test_terms_that_are_not_asked_for_are_zero(self):
        X, y, *_ = table()
        model = fm.QuadraticNetworkRegressor(0.1, fit_linear=False, fit_intercept=False).fit(X, y)
        assert model.intercept_ == 0
        assert not model.linear_.any()


class TestOddTables:
    def test_a_constant_feature_and_one_twice(self):
        X, y, *_ = table(120, 4, noise=0.1)
        odd = np.column_stack([X, np.full(len(y), 0.1), X[:, 0]])
        model, plain = (fm.QuadraticNetworkRegressor(0.01).fit(Z, y) for Z in (odd, X))
        assert model.certificate_.holds
        assert not model.matrix_[4].any()
        assert model.score(odd, y) == pytest.approx(plain.score(X, y), abs=0.01)

    def test_features_of_zeros_and_ones(self):
        """The square of such a feature is itself: linear terms explain it, and nothing is left to measure."""
        rng = np.random.default_rng(0)
        X = rng.integers(0, 2, (60, 1)).astype(float)
        y = X[:, 0] + 0.1 * rng.standard_normal(60)
        for alpha in (0.01, "auto"):
            model = fm.QuadraticNetworkRegressor(alpha).fit(X, y)
            assert model.rank_ == 0
            assert model.certificate_.holds
        groups = np.eye(3)[rng.integers(0, 3, 60)]
        assert fm.QuadraticNetworkRegressor(0.01).fit(groups, y).rank_ == 0

    def test_products_of_zeros_and_ones_are_found(self):
        rng = np.random.default_rng(0)
        X = rng.integers(0, 2, (200, 4)).astype(float)
        y = 2 * X[:, 0] * X[:, 1] + 0.1 * rng.standard_normal(200)
        assert fm.QuadraticNetworkRegressor().fit(X, y).score(X, y) > 0.95

    def test_fewer_samples_than_terms(self):
        X, y, *_ = table(5, 6)
        model = fm.QuadraticNetworkRegressor().fit(X, y)
        assert model.rank_ == 0
        np.testing.assert_allclose(model.predict(X), y, atol=1e-9)

    @pytest.mark.parametrize("alpha", [0, 0.1, "auto"])
    def test_outputs_that_are_linear_or_constant(self, alpha):
        X, *_ = table(50, 4)
        for y in (X @ [1.0, 2.0, 0.0, 1e3] + 5e6, np.full(50, 0.1), np.zeros(50)):
            model = fm.QuadraticNetworkRegressor(alpha).fit(X, y)
            assert model.rank_ == 0
            np.testing.assert_allclose(model.predict(X), y, atol=1e-12 * np.abs(y).max())

    def test_years_and_grams(self):
        """Values far from zero lose no digits."""
        X, y, *_ = table(100, 3)
        far = X * [1e-6, 1.0, 1e6] + [1.0, 2e6, 1e9]
        model = fm.QuadraticNetworkRegressor(0).fit(far, y)
        np.testing.assert_allclose(model.predict(far), y, atol=1e-5)
