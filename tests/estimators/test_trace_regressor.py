"""Trace regression: shapes, the joint fit, recovery, noise, and what units and origins do."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import flatmin as fm
from flatmin.errors import InputError
from tests.estimators.joint_fit import joint_bound, joint_fit

SHAPE = (6, 5)


def samples(m=200, noise=0.0, seed=0, rank=1):
    """Return matrices, values, M of low rank, and a constant of 3."""
    rng = np.random.default_rng(seed)
    X, (d1, d2) = rng.standard_normal((m, *SHAPE)), SHAPE
    M = rng.standard_normal((d1, rank)) @ rng.standard_normal((rank, d2))
    y = (X * M).sum(axis=(1, 2)) + 3
    return X, y + noise * np.std(y) * rng.standard_normal(m), M


class TestShapes:
    def test_matrices_rows_and_lists_are_the_same(self):
        X, y, _ = samples(60, 0.1)
        want = fm.TraceRegressor(0.1).fit(X, y)
        for given, shape in ((X.reshape(60, -1), SHAPE), (X.tolist(), None), (X.reshape(60, -1), list(SHAPE))):
            model = fm.TraceRegressor(0.1, shape=shape).fit(given, y)
            np.testing.assert_allclose(model.coef_, want.coef_)
            np.testing.assert_allclose(model.predict(X), want.predict(given))

    def test_the_squarest_shape_is_taken_for_rows(self):
        X, y, _ = samples(60, 0.1)
        assert fm.TraceRegressor(0.1).fit(X.reshape(60, -1), y).coef_.shape == (5, 6)
        assert fm.TraceRegressor(0.1).fit(X.reshape(60, -1)[:, :7], y).coef_.shape == (1, 7)

    @pytest.mark.parametrize("shape", [(5, 7), (30,), "x", (0, 30), (-5, -6)])
    def test_shapes_that_do_not_fit(self, shape):
        X, y, _ = samples(20)
        with pytest.raises(InputError, match=r"shape is .*expected two"):
            fm.TraceRegressor(shape=shape).fit(X.reshape(20, -1), y)

    @pytest.mark.parametrize(
        ("X", "message"),
        [
            (np.ones((4, 2, 2, 2)), "dim 4"),
            (np.ones(4), "Expected 2D array"),
            ([[[1.0, 2.0]], [[1.0]]], "ragged|inhomogeneous"),
            (np.full((4, 2, 2), "a"), "could not convert"),
            (np.ones((4, 0, 2)), r"0 feature\(s\)"),
            (np.full((4, 2, 2), np.nan), "NaN"),
        ],
    )
    def test_samples_that_are_no_matrices(self, X, message):
        with pytest.raises(ValueError, match=message):
            fm.TraceRegressor().fit(X, np.ones(len(X)))

    def test_matrices_of_another_shape_are_not_predicted(self):
        X, y, _ = samples(30)
        model = fm.TraceRegressor(0.1).fit(X, y)
        with pytest.raises(ValueError, match="20 features"):
            model.predict(np.ones((3, 20)))
        with pytest.raises(InputError, match=r"samples of shape \(5, 6\), expected \(6, 5\)"):
            model.predict(X.transpose(0, 2, 1))
        with pytest.raises(InputError, match=r"shape is \(5, 6\), expected \(6, 5\) as the samples have"):
            fm.TraceRegressor(shape=(5, 6)).fit(X, y)

    def test_in_a_pipeline_and_in_cross_validation(self):
        X, y, _ = samples(80, 0.1)
        flat = FunctionTransformer(lambda T: np.asarray(T).reshape(len(T), -1))
        pipeline = make_pipeline(flat, StandardScaler(), fm.TraceRegressor(0.05, shape=SHAPE))
        assert clone(pipeline).fit(X, y).score(X, y) > 0.9
        assert cross_val_score(fm.TraceRegressor(0.05), X, y, cv=3).min() > 0.9

    def test_tables_keep_their_names(self):
        X, y, _ = samples(60, 0.1)
        table = pd.DataFrame(X.reshape(60, -1), columns=[f"x{i}" for i in range(30)])
        model = fm.TraceRegressor(0.1, shape=SHAPE).fit(table, pd.Series(y))
        assert list(model.feature_names_in_) == list(table.columns)
        np.testing.assert_allclose(model.predict(table), fm.TraceRegressor(0.1).fit(X, y).predict(X))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(table[table.columns[::-1]])

    def test_sparse_rows_are_refused_in_a_sentence(self):
        X, y, _ = samples(20)
        with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
            fm.TraceRegressor().fit(sparse.csr_matrix(X.reshape(20, -1)), y)

    def test_numbers_of_single_precision(self):
        X, y, _ = samples(100, 0.1)
        single, double = (fm.TraceRegressor().fit(X.astype(t), y.astype(t)) for t in (np.float32, float))
        np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-5)
        assert single.predict(X.astype(np.float32)).dtype == float


class TestJointFit:
    @pytest.mark.parametrize("constant", [False, True])
    @pytest.mark.parametrize("m", [20, 80])
    def test_a_general_solver_finds_the_same(self, m, constant):
        X, y, _ = samples(m, 0.3)
        weight = np.random.default_rng(1).uniform(0.2, 3, m)
        weight /= weight.mean()
        model = fm.TraceRegressor(0.05, fit_intercept=constant, tol=1e-10).fit(X + 1, y, sample_weight=weight)
        r = np.sqrt(weight)
        tensor, T = r[:, None, None] * (X + 1), r[:, None] * np.ones((m, int(constant)))
        M, z, value = joint_fit(tensor, T, r * y, 0.05, symmetric=False)
        assert model.certificate_.holds
        assert model.certificate_.value == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(model.coef_, M, atol=1e-4)
        assert model.intercept_ == pytest.approx(float(z.sum()), abs=1e-4)
        dual = model.solution_.certificate.dual
        if constant:
            dual = fm.measurements.Projected(fm.measurements.Dense(tensor), T).expanded(dual)
        bound, infeasible = joint_bound(tensor, T, r * y, 0.05, dual, symmetric=False)
        assert infeasible < 1e-10 * np.abs(dual).max()
        assert bound == pytest.approx(model.certificate_.lower_bound, rel=1e-9)


class TestRecovery:
    def test_exact_data_are_fitted_and_proved_so(self):
        X, y, M = samples(28)  # of 30 entries
        model = fm.TraceRegressor(0).fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        assert model.certificate_.unique
        np.testing.assert_allclose(model.coef_, M, atol=1e-7)
        assert model.intercept_ == pytest.approx(3, abs=1e-7)

    @pytest.mark.parametrize("m", [100, 400])
    @pytest.mark.parametrize("rank", [1, 2])
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_noise_of_unknown_level(self, m, rank, seed):
        X, y, M = samples(m, 0.1, seed, rank)
        model, sigma = fm.TraceRegressor().fit(X, y), 0.1 * np.std(samples(m, 0, seed, rank)[1])
        assert model.rank_ == rank
        assert model.certificate_.holds
        assert abs(model.noise_.sigma - sigma) < 3.5 * model.noise_.std_error
        assert np.linalg.norm(model.coef_ - M) < 0.15 * np.linalg.norm(M)

    def test_the_error_is_that_of_least_squares_at_the_right_rank(self):
        """The refit beats the penalised solution, and least squares without a rank."""
        errors = []
        for seed in range(5):
            X, y, M = samples(120, 0.3, seed)
            design = np.column_stack([np.ones(len(y)), X.reshape(len(y), -1)])
            free = np.linalg.lstsq(design, y, rcond=None)[0][1:].reshape(SHAPE)
            found = [fm.TraceRegressor(refit=refit).fit(X, y).coef_ for refit in ("auto", False)]
            errors.append([np.linalg.norm(C - M) for C in (*found, free)])
        refit, shrunk, free = np.mean(errors, axis=0)
        assert refit < 0.8 * min(shrunk, free)

    def test_weights_that_tell_how_precise_samples_are(self):
        """The level of the noise is then that of a sample of mean weight; and the error falls."""
        errors = []
        for seed in range(5):
            X, y, M = samples(200, seed=seed)
            rng = np.random.default_rng(seed + 100)
            sigma = np.where(rng.random(len(y)) < 0.5, 2.0, 0.2)
            y = y + sigma * rng.standard_normal(len(y))
            weighted = fm.TraceRegressor().fit(X, y, sample_weight=sigma**-2)
            assert weighted.rank_ == 1
            assert abs(weighted.noise_.sigma - np.mean(sigma**-2.0) ** -0.5) < 3.5 * weighted.noise_.std_error
            errors.append([np.linalg.norm(m.coef_ - M) for m in (weighted, fm.TraceRegressor().fit(X, y))])
        with_weights, without = np.mean(errors, axis=0)
        assert with_weights < 0.3 * without

    def test_pure_noise_has_rank_zero(self):
        X, _, _ = samples()
        model = fm.TraceRegressor().fit(X, 5 + np.random.default_rng(0).standard_normal(len(X)))
        assert model.rank_ == 0
        assert model.intercept_ == pytest.approx(5, abs=0.3)

    @pytest.mark.parametrize("alpha", [0, 0.1, "auto"])
    def test_values_that_are_constant(self, alpha):
        X, *_ = samples(20)
        for value in (0.0, 0.1, 1e7):
            model = fm.TraceRegressor(alpha).fit(X, np.full(20, value))
            assert model.rank_ == 0
            assert model.intercept_ == pytest.approx(value)
            assert model.status_.certified


class TestUnits:
    @pytest.mark.parametrize("alpha", [0.05, "auto"])
    def test_offsets_of_samples_and_values(self, alpha):
        X, y, _ = samples(100, 0.1)
        shift = np.arange(30.0).reshape(SHAPE) * 100
        here, there = fm.TraceRegressor(alpha).fit(X, y), fm.TraceRegressor(alpha).fit(X + shift, y - 1e4)
        np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-6)
        np.testing.assert_allclose(there.predict(X + shift) + 1e4, here.predict(X), atol=1e-6)
        assert there.intercept_ + np.sum(shift * there.coef_) == pytest.approx(here.intercept_ - 1e4, abs=1e-6)

    @pytest.mark.parametrize("alpha", [0.05, "auto"])
    def test_units_of_samples_and_values(self, alpha):
        X, y, _ = samples(100, 0.1)
        here = fm.TraceRegressor(alpha).fit(X, y)
        there = fm.TraceRegressor(alpha if alpha == "auto" else 1e7 * alpha).fit(1e-3 * X, 1e4 * y)
        np.testing.assert_allclose(there.coef_, 1e7 * here.coef_, rtol=1e-6, atol=1e2)
        assert there.rank_ == here.rank_

    def test_rotations_turn_the_matrix(self):
        """Not only permutations: the metric follows any orthogonal change of coordinates."""
        X, y, _ = samples(100, 0.1)
        rng = np.random.default_rng(0)
        P, Q = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in SHAPE)
        here, there = (fm.TraceRegressor(0.05).fit(Z, y) for Z in (X, P @ X @ Q))
        np.testing.assert_allclose(there.coef_, P @ here.coef_ @ Q, atol=1e-6)

    def test_order_of_samples_and_sides(self):
        X, y, _ = samples(100, 0.1)
        order = np.random.default_rng(0).permutation(100)
        here = fm.TraceRegressor(0.05).fit(X, y)
        np.testing.assert_allclose(fm.TraceRegressor(0.05).fit(X[order], y[order]).coef_, here.coef_, atol=1e-6)
        np.testing.assert_allclose(fm.TraceRegressor(0.05).fit(X.transpose(0, 2, 1), y).coef_.T, here.coef_, atol=1e-6)

    def test_a_weight_of_two_is_two_samples(self):
        X, y, _ = samples(60, 0.1)
        times = np.random.default_rng(0).integers(0, 4, len(y))
        weighted = fm.TraceRegressor(0.05).fit(X, y, sample_weight=times)
        repeated = fm.TraceRegressor(0.05).fit(X.repeat(times, axis=0), y.repeat(times))
        np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)
        assert weighted.intercept_ == pytest.approx(repeated.intercept_, abs=1e-6)
