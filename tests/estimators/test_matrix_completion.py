"""Completion of tables: recovery, invariances, new rows, and scikit-learn's contract."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from flatmin import MatrixCompletion, MatrixCompletionCV
from flatmin.errors import InputError
from flatmin.testing import expected_failed_checks


@pytest.mark.sampled(40)
@pytest.mark.filterwarnings("ignore:X has two complete columns")  # as have the tables of the checks
@parametrize_with_checks(
    [
        MatrixCompletion(),
        MatrixCompletion(0.1, keep_empty_features=True),
        MatrixCompletionCV(n_alphas=4, metric_powers=1.0, cv=3),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def table(shape=(60, 12), rank=2, holes=0.3, noise=0.0, seed=0):
    """Return a table in mixed units with holes, and what it is without noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1])) + rng.standard_normal(shape[1])
    units = 10.0 ** rng.integers(-3, 4, shape[1])
    seen = X + noise * rng.standard_normal(shape)
    return np.where(rng.random(shape) < holes, np.nan, seen) * units, X * units


def error(filled, truth, holes):
    return np.sqrt(np.mean((((filled - truth) / truth.std(axis=0))[np.isnan(holes)]) ** 2))


class TestRecovery:
    @pytest.mark.parametrize(("shape", "share"), [((60, 12), 0.3), ((20, 80), 0.15)])
    def test_exact_low_rank_is_recovered_with_a_proof(self, shape, share):
        holes, truth = table(shape, holes=share)
        model = MatrixCompletion().fit(holes)
        assert model.certificate_.holds
        assert model.status_.name == "unique_flat_minimum"
        np.testing.assert_allclose(model.transform(holes) / model.scale_, truth / model.scale_, atol=1e-5)

    def test_noise_is_found_and_no_more_is_left_than_least_squares_leaves(self):
        holes, truth = table((150, 40), noise=0.1)
        for model in (MatrixCompletion(refit=True).fit(holes), MatrixCompletion().fit(holes)):
            assert model.status_.name == "regularized_minimum"
            assert model.noise_.rank == model.solution_.noise.rank == 2
            missed = ((model.predict(holes) - truth) / model.scale_)[np.isnan(holes)]
            oracle = model.noise_.sigma * np.sqrt(model.noise_.freedom / np.sum(~np.isnan(holes)))
            assert np.sqrt(np.mean(missed**2)) < 1.3 * oracle
            assert model.rank_ == (2 if model.refit is True else 39)

    def test_a_strength_of_zero_interpolates(self):
        holes, _ = table(noise=1.0)
        model = MatrixCompletion(0).fit(holes)
        seen = ~np.isnan(holes)
        assert model.certificate_.objective == "interpolating"
        np.testing.assert_allclose((model.predict(holes) / model.scale_)[seen], (holes / model.scale_)[seen], atol=1e-6)

    def test_the_strength_is_that_of_als_wr(self):
        """At the minimum of ``Σ (v − l·r)² + λ (Σ n_i |l_i|² + Σ n_j |r_j|²)`` both gradients vanish."""
        holes, _ = table(noise=0.3)
        model = MatrixCompletion(0.2, offsets="none", scale=False, tol=1e-10).fit(holes / np.nanstd(holes, axis=0))
        assert model.alpha_ == pytest.approx(0.2)
        V, seen = holes / np.nanstd(holes, axis=0), ~np.isnan(holes)
        L, R = model.row_factors_, model.column_factors_
        left = np.where(seen, V - L @ R.T, 0.0)
        for gradient, size in (
            (left @ R - 0.2 * seen.sum(1)[:, None] * L, left @ R),
            (left.T @ L - 0.2 * seen.sum(0)[:, None] * R, left.T @ L),
        ):
            assert np.linalg.norm(gradient) < 1e-6 * np.linalg.norm(size)

    @pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
    def test_a_general_solver_finds_the_same(self, power):
        cp = pytest.importorskip("cvxpy")
        holes, _ = table((14, 6), noise=0.5)
        model = MatrixCompletion(0.3, metric_power=power, tol=1e-10).fit(holes)
        seen, (n, d) = ~np.isnan(holes), holes.shape
        Z = np.where(seen, (holes - model.mean_) / model.scale_, 0.0)
        weights = [k**power * np.mean(k) ** (1 - power) for k in (seen.sum(1), seen.sum(0))]
        X, offsets = cp.Variable((n, d)), cp.Variable((1, d))
        misfit = cp.sum_squares(cp.multiply(seen, Z - X - np.ones((n, 1)) @ offsets))
        norm = cp.normNuc(cp.multiply(np.sqrt(np.outer(*weights)), X))
        cp.Problem(cp.Minimize(misfit + 2 * 0.3 * norm)).solve(cp.SCS, eps=1e-9, max_iters=100_000)
        found = (model.predict(holes) - model.mean_) / model.scale_
        np.testing.assert_allclose(found, X.value + offsets.value, atol=1e-5)


class TestInvariance:
    @pytest.fixture(params=[{}, {"alpha": 0.1}, {"alpha": 0.1, "offsets": "both", "metric_power": 0.5}])
    def model(self, request):
        return MatrixCompletion(**request.param)

    def test_order_of_rows_and_columns(self, model):
        holes, _ = table(noise=0.3)
        rng = np.random.default_rng(1)
        i, j = rng.permutation(holes.shape[0]), rng.permutation(holes.shape[1])
        model.set_params(refit=False) if model.alpha == "auto" else None
        want, found = model.fit_transform(holes)[i][:, j], clone(model).fit_transform(holes[i][:, j])
        scale = np.nanstd(holes, axis=0)[j]
        apart = np.sqrt(np.mean(((found - want) / scale) ** 2))  # what is simulated for "auto" differs
        assert apart < (0.03 if model.alpha == "auto" else 1e-6)

    def test_units_and_origins_of_columns(self, model):
        holes, _ = table(noise=0.3)
        rng = np.random.default_rng(1)
        unit, origin = 10.0 ** rng.uniform(-6, 6, holes.shape[1]), rng.standard_normal(holes.shape[1])
        want = model.fit_transform(holes)
        spread = np.nanstd(holes, axis=0)
        found = clone(model).fit_transform((holes + origin * spread) * unit) / unit - origin * spread
        np.testing.assert_allclose(found / spread, want / spread, atol=1e-6)

    def test_weights_count_rows(self):
        holes, _ = table((30, 6), noise=0.3)
        twice = np.r_[np.arange(30), np.arange(10)]
        weight = np.where(np.arange(30) < 10, 2.0, 1.0)
        one = MatrixCompletion(0.1).fit(holes, sample_weight=weight).transform(holes)
        other = MatrixCompletion(0.1).fit(holes[twice]).transform(holes)
        np.testing.assert_allclose(one / np.nanstd(holes, axis=0), other / np.nanstd(holes, axis=0), atol=1e-7)

    @pytest.mark.sampled(1)
    @pytest.mark.parametrize("unit", [2.0**-270, 2.0**270])
    def test_one_unit_for_all_cells_does_not_change_what_predicts(self, unit):
        holes, _ = table((40, 8), noise=0.3)
        one, other = (MatrixCompletion(scale=False).fit(k * holes) for k in (1.0, unit))
        assert other.relaxation_.chosen == one.relaxation_.chosen
        np.testing.assert_allclose(other.predict(unit * holes) / unit, one.predict(holes), atol=1e-6)


class TestNewRows:
    def test_a_table_is_filled_and_observed_cells_stay(self):
        whole = np.outer(np.arange(1.0, 9), np.arange(1.0, 6))
        holes = whole.copy()
        holes[[0, 3, 5], [1, 4, 0]] = np.nan
        model = MatrixCompletion(0.0).fit(holes)
        np.testing.assert_allclose(model.transform(holes), whole, atol=1e-6)
        new = np.array([[3.0, np.nan, 9.0, 12.0, np.nan]])
        np.testing.assert_allclose(model.transform(new), [[3, 6, 9, 12, 15]], atol=1e-6)
        assert model.score(holes) > 0.99

    def test_training_rows_are_treated_like_new_ones(self):
        holes, _ = table(noise=0.3)
        for model in (MatrixCompletion(0.1), MatrixCompletion(0.1, metric_power=0.5), MatrixCompletion(refit=True)):
            filled = model.fit_transform(holes)
            np.testing.assert_array_equal(filled, model.transform(holes))
            np.testing.assert_allclose(model.transform(holes[:5]), filled[:5], rtol=1e-9)
            if model.refit is not True:
                L, R = model.solution_.factors
                np.testing.assert_allclose(model.row_factors_ @ model.column_factors_.T, L @ R.T, atol=1e-6)

    @pytest.mark.slow
    def test_rows_of_a_refit_are_the_mean_of_a_normal_distribution_given_their_cells(self):
        holes, _ = table((150, 12), rank=3, noise=0.3)
        model = MatrixCompletion(refit=True, offsets="none", scale=False).fit(holes)
        L, R = model.noise_.refit
        row, (i, j) = np.full((1, 12), np.nan), ([1, 5, 6], [0, 2, 3, 4, 7, 8, 9, 10, 11])
        row[0, i] = holes[:, i][np.isfinite(holes[:, i]).all(axis=1)][0]
        prior = R @ (L.T @ L / 150) @ R.T
        given = prior[np.ix_(i, i)] + model.noise_.sigma**2 * np.eye(3)
        want = prior[np.ix_(j, i)] @ np.linalg.solve(given, row[0, i])
        np.testing.assert_allclose(model.transform(row)[0, j], want, rtol=1e-6)

    def test_few_cells_are_no_worse_than_none(self):
        """Least squares with as many cells as columns of R would fit the noise, at any price."""
        rng = np.random.default_rng(0)
        R = rng.standard_normal((3, 12))
        known, new = (rng.standard_normal((n, 3)) @ R + 0.3 * rng.standard_normal((n, 12)) for n in (200, 400))
        model = MatrixCompletion(refit=True).fit(np.where(rng.random(known.shape) < 0.2, np.nan, known))
        for seen in (1, 2, 3, 4):
            hidden = np.argsort(rng.random(new.shape), axis=1) >= seen
            missed = (model.transform(np.where(hidden, np.nan, new)) - new)[hidden]
            assert np.sqrt(np.mean(missed**2)) < 0.95 * np.sqrt(np.mean((new - model.mean_)[hidden] ** 2))

    def test_the_factor_is_a_ridge_regression(self):
        holes, _ = table(noise=0.3)
        model = MatrixCompletion(0.1, metric_power=0.5).fit(holes[5:])
        row = holes[:1]
        seen = ~np.isnan(row[0])
        R = model.column_factors_[seen]
        z = ((row - model.mean_) / model.scale_)[0, seen] - model.offsets_.constant - model.offsets_.columns[seen]
        mean = np.sum(~np.isnan(holes[5:])) / 55
        strength = 0.1 * np.sqrt(seen.sum() * mean)
        ridge = Ridge(strength, fit_intercept=False).fit(R, z)
        want = model.column_factors_ @ ridge.coef_ + model.offsets_.constant + model.offsets_.columns
        np.testing.assert_allclose(model.predict(row)[0], want * model.scale_ + model.mean_, rtol=1e-8)

    def test_new_rows_of_low_rank_are_recovered(self):
        holes, truth = table((80, 12))
        filled = MatrixCompletion().fit(holes[20:]).transform(holes[:20])
        known = np.sum(~np.isnan(holes[:20]), axis=1) >= 5
        np.testing.assert_allclose(filled[known], truth[:20][known], rtol=1e-4)

    def test_observed_cells_come_back_unchanged(self):
        holes, _ = table(noise=0.3)
        seen = ~np.isnan(holes)
        np.testing.assert_array_equal(MatrixCompletion(0.1).fit_transform(holes)[seen], holes[seen])

    def test_an_empty_row_gets_the_offsets_of_the_columns(self):
        holes, _ = table(noise=0.3)
        model = MatrixCompletion(0.1).fit(holes)
        empty = model.transform(np.full((1, holes.shape[1]), np.nan))[0]
        want = model.mean_ + model.scale_ * (model.offsets_.constant + model.offsets_.columns)
        np.testing.assert_allclose(empty, want)


class TestOddTables:
    def test_constant_columns_empty_rows_and_columns_and_single_values(self):
        holes, _ = table(noise=0.3)
        holes[3], holes[:, 2], holes[:, 4] = np.nan, np.nan, 0.1
        holes[7:, 4], holes[1:, 5], holes[0, 5] = np.nan, np.nan, 12.0
        for parameters in ({}, {"alpha": 0}, {"alpha": 0.1}):
            filled = MatrixCompletion(**parameters).fit_transform(holes)
            assert filled.shape == (60, 11)
            assert np.isfinite(filled).all()
            np.testing.assert_allclose(filled[:, 3], 0.1, rtol=1e-9)
            np.testing.assert_allclose(filled[:, 4], 12.0, rtol=1e-9)
        kept = MatrixCompletion(0.1, keep_empty_features=True).fit_transform(holes)
        np.testing.assert_array_equal(kept[:, 2], 0)

    def test_columns_that_were_empty_say_nothing_later(self):
        holes, _ = table(noise=0.3)
        holes[:, 2] = np.nan
        model = MatrixCompletion(0.1, offsets="both", keep_empty_features=True).fit(holes)
        more = np.where(np.arange(12) == 2, 1e6, holes)
        np.testing.assert_array_equal(np.delete(model.transform(more), 2, 1), np.delete(model.transform(holes), 2, 1))
        np.testing.assert_array_equal(model.transform(more)[:, 2], 1e6)
        assert model.score(more) == pytest.approx(model.score(holes))

    @pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
    def test_huge_and_tiny_units(self, size):
        holes, _ = table(noise=0.3)
        holes = holes / np.nanmax(np.abs(holes), axis=0)
        found = MatrixCompletion(0.1).fit_transform(holes * size)
        np.testing.assert_allclose(found / size, MatrixCompletion(0.1).fit_transform(holes), atol=1e-8)

    def test_whole_numbers_and_booleans(self):
        X = np.arange(24).reshape(8, 3)
        filled = MatrixCompletion(0.1, missing_values=-1).fit_transform(np.where(X == 7, -1, X))
        assert np.abs(filled[2, 1] - 7) < 2
        np.testing.assert_array_equal(MatrixCompletion(0.1).fit_transform(X > 5), X > 5)

    def test_one_observed_cell(self):
        holes = np.full((3, 2), np.nan)
        holes[1, 0] = 5.0
        np.testing.assert_array_equal(MatrixCompletion().fit_transform(holes), [[5.0], [5.0], [5.0]])

    def test_float32_stays(self):
        holes, _ = table(noise=0.3)
        assert MatrixCompletion(0.1).fit_transform(holes.astype(np.float32)).dtype == np.float32

    def test_what_stands_for_a_hole(self):
        holes, _ = table((20, 4), noise=0.3)
        want = MatrixCompletion(0.1).fit_transform(holes)
        seen = ~np.isnan(holes)
        forms = {
            "number": (np.where(seen, holes, -99.0), -99.0),
            "None": (np.where(seen, holes, None), None),
            "NA": (pd.DataFrame(np.where(seen, holes, pd.NA)), pd.NA),
            "nullable": (pd.DataFrame(holes).convert_dtypes(), pd.NA),
            "text": (np.where(seen, holes.astype(object), "?"), "?"),
            "frame": (pd.DataFrame(np.where(seen, holes, -1.0)), -1),
        }
        for X, mark in forms.values():
            np.testing.assert_allclose(MatrixCompletion(0.1, missing_values=mark).fit_transform(X), want, rtol=1e-9)

    @pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array, sparse.csc_matrix])
    def test_sparse_input_stores_what_is_observed(self, kind):
        holes, _ = table((20, 5), noise=0.3)
        holes[0, 0] = 0.0
        rows, columns = np.nonzero(~np.isnan(holes))
        X = kind((holes[rows, columns], (rows, columns)), shape=holes.shape)
        assert X.nnz == len(rows)
        dense = MatrixCompletion(0.1, add_indicator=True).fit(holes)
        thin = MatrixCompletion(0.1, add_indicator=True).fit(X)
        np.testing.assert_allclose(thin.transform(X), dense.transform(holes), rtol=1e-9)

    @pytest.mark.parametrize(
        ("parameters", "X", "words"),
        [
            ({}, [[np.nan, np.nan]], "no observed cell"),
            ({}, [[np.inf, 1.0]], "infinity"),
            ({"alpha": -1}, [[1.0, 2.0]], "alpha"),
            ({"alpha": "much"}, [[1.0, 2.0]], "alpha"),
            ({"metric_power": 2}, [[1.0, 2.0]], "metric_power"),
            ({"refit": "no"}, [[1.0, 2.0]], "refit"),
            ({"offsets": "all"}, [[1.0, 2.0]], "offsets"),
            ({"offset_alpha": "big"}, [[1.0, 2.0]], "offset_alpha"),
            ({"offset_alpha": (1, 2, 3)}, [[1.0, 2.0]], "offset_alpha"),
            ({"offset_alpha": -1.0}, [[1.0, 2.0]], "strength"),
            ({"scale": "yes"}, [[1.0, 2.0]], "scale"),
            ({}, [["a", "b"]], "convert"),
        ],
    )
    def test_bad_input_is_one_sentence(self, parameters, X, words):
        with pytest.raises(ValueError, match=words):
            MatrixCompletion(**parameters).fit(np.array(X))


class TestImputer:
    def test_it_stands_where_simple_imputer_does(self):
        holes, _ = table(noise=0.3)
        holes[:, 3] = np.nan
        frame = pd.DataFrame(holes, columns=[f"c{j}" for j in range(12)])
        frame["c4"] = 1.0
        for keep in (False, True):
            arguments = {"add_indicator": True, "keep_empty_features": keep}
            ours = MatrixCompletion(0.1, **arguments).set_output(transform="pandas").fit(frame)
            theirs = SimpleImputer(**arguments).set_output(transform="pandas").fit(frame)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SimpleImputer tells that it skips an empty column
                a, b = ours.transform(frame), theirs.transform(frame)
            assert list(a.columns) == list(b.columns)
            assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
            marks = [name for name in a.columns if name.startswith("missing")]
            np.testing.assert_array_equal(a[marks].to_numpy(float), b[marks].to_numpy(float))
            assert a.index.equals(frame.index)

    def test_pipeline_and_search(self):
        X, y = datasets.load_diabetes(return_X_y=True)
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)[:150]
        pipeline = make_pipeline(MatrixCompletion(0.1, tol=1e-7), Ridge(1e-3))
        search = GridSearchCV(pipeline, {"matrixcompletion__alpha": [0.05, 0.3]}, cv=3).fit(X, y[:150])
        assert search.best_score_ > 0.2
        alone = GridSearchCV(MatrixCompletion(tol=1e-7), {"alpha": [0.05, 3.0], "metric_power": [0.0, 1.0]}, cv=3).fit(
            X
        )
        assert alone.best_params_["alpha"] == 0.05
        assert alone.best_score_ > 0.2
        assert (
            np.abs(alone.cv_results_["mean_test_score"][-1]) < 0.05
        )  # nothing is left of the matrix, and of the score

    def test_clone_and_pickle(self):
        holes, _ = table(noise=0.3)
        model = clone(MatrixCompletion(0.1, missing_values=None)).fit(holes)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.transform(holes), model.transform(holes))
        assert again.certificate_.holds

    def test_cells_of_the_training_table(self):
        holes, _ = table(noise=0.3)
        frame = pd.DataFrame(holes, columns=[f"c{j}" for j in range(12)])
        model = MatrixCompletion(0.1).fit(frame)
        whole = model.predict(frame)
        np.testing.assert_allclose(model.predict([0, 5, 59], [3, 0, 11]), whole[[0, 5, 59], [3, 0, 11]], rtol=1e-9)
        np.testing.assert_allclose(model.predict([0, 5], ["c3", "c0"]), whole[[0, 5], [3, 0]], rtol=1e-9)
        with pytest.raises(InputError, match="positions from 0 to 59"):
            model.predict([60], [0])

    def test_without_a_proof_there_is_a_warning(self):
        holes, _ = table(noise=0.3)
        with pytest.warns(ConvergenceWarning, match="max_rank"):
            MatrixCompletion(0.01, max_rank=1).fit(holes)

    def test_a_fitted_model_says_what_it_found(self):
        holes, _ = table(noise=0.3)
        said = str(MatrixCompletion().fit(holes))
        assert "certificate: holds" in said
        assert "predicts: " in said


class TestHeldOut:
    @pytest.mark.slow
    def test_real_tables_are_filled_better_than_by_means_and_nearest_neighbours(self):
        X = datasets.load_wine().data
        hidden = np.random.default_rng(0).random(X.shape) < 0.3
        holes = np.where(hidden, np.nan, X)
        ours = MatrixCompletion().fit(holes)
        assert ours.relaxation_.chosen not in ("offsets", "1")
        assert ours.certificate_.holds
        assert set(ours.relaxation_.errors) >= {"offsets", "refit", "1", "0.3"}
        errors = [error(m.fit_transform(holes), X, holes) for m in (ours, KNNImputer(), SimpleImputer())]
        assert errors[0] < min(errors[1:])

    def test_noise_alone_is_left_to_the_offsets(self):
        rng = np.random.default_rng(0)
        holes = np.where(rng.random((100, 8)) < 0.3, np.nan, rng.standard_normal((100, 8)))
        model = MatrixCompletion().fit(holes)
        assert model.relaxation_.chosen == "offsets"
        assert model.rank_ == 0
        assert model.certificate_.holds
        np.testing.assert_allclose(model.predict(holes), np.broadcast_to(np.nanmean(holes, axis=0), holes.shape))

    @pytest.mark.parametrize(("seed", "tail"), [(4, "lognormal"), (8, "normal"), (8, "few"), (11, "t")])
    def test_noise_in_small_tables_is_left_to_the_offsets(self, seed, tail):
        """The best of many candidates is often better than the offsets by chance, and then fills cells worse."""
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(12, 120)), int(rng.integers(3, 9))
        X = rng.standard_normal((n, d))
        X = {"normal": X, "lognormal": np.exp(1.5 * X), "few": X[:10], "t": rng.standard_t(2, (n, d))}[tail]
        holes = np.where(rng.random(X.shape) < 0.15, np.nan, X)
        assert MatrixCompletion().fit(holes).relaxation_.chosen == "offsets"

    def test_too_few_cells_to_hold_some_out(self):
        holes, _ = table((8, 3), noise=0.3)
        assert MatrixCompletion().fit(holes).relaxation_ is None

    def test_columns_that_determine_each_other_are_found_in_a_small_table(self):
        rng = np.random.default_rng(0)
        truth = rng.standard_normal((40, 6))
        truth[:, 4:] = truth[:, [0, 1]] + truth[:, [2, 3]] + 0.1 * truth[:, 4:]
        truth *= [1, 10, 100, 0.1, 1, 5]
        holes = np.where(rng.random(truth.shape) < 0.15, np.nan, truth)
        model = MatrixCompletion().fit(holes)
        assert model.relaxation_.phantoms is not None
        assert model.certificate_.holds
        filled = model.fit_transform(holes)
        np.testing.assert_array_equal(filled, model.transform(holes))
        i, j = np.nonzero(np.isnan(holes))
        np.testing.assert_allclose(model.predict(i, j), filled[i, j])
        penalised = MatrixCompletion(refit=False).fit_transform(holes)
        assert error(filled, truth, holes) < 0.8 * error(penalised, truth, holes)

    def test_one_table_has_one_score(self):
        holes, _ = table(noise=0.1)
        model = MatrixCompletion(0.05).fit(holes)
        assert model.score(holes) == model.score(holes)
        assert 0.8 < model.score(holes) < 1
        strong = MatrixCompletion(10.0).fit(holes)
        assert strong.rank_ == 0
        assert strong.score(holes) == pytest.approx(0, abs=1e-9)


class TestPairsByMistake:
    """Ids and values, which this class would take for a table, are named; tables in a pipeline are not."""

    @pytest.mark.parametrize("pairs", [[[1, 2], [1, 3], [2, 2]], np.array([[1.0, 2.0], [1.0, 3.0], [2.0, 2.0]])])
    def test_pairs_are_named(self, pairs):
        with pytest.warns(UserWarning, match="use PairRegressor") as caught:
            MatrixCompletion(0.1).fit(pairs, [1.0, 2.0, 3.0])
        assert caught[0].filename == __file__

    def test_names_are_refused_after_the_warning(self):
        with pytest.warns(UserWarning, match="use PairRegressor"), pytest.raises(InputError, match="'ann'"):
            MatrixCompletion(0.1).fit([("ann", 1), ("bob", 2)], [1.0, 2.0])

    @pytest.mark.parametrize(
        ("X", "parameters"),
        [
            ([[1.0, np.nan], [2.0, 3.0], [4.0, 5.0]], {}),
            ([[1.0, None], [2.0, 3.0], [4.0, 5.0]], {}),
            ([[1.0, -1.0], [2.0, 3.0], [4.0, 5.0]], {"missing_values": -1}),
            (sparse.csr_array([[1.0, 0.0], [2.0, 3.0], [4.0, 5.0]]), {}),
            ([[1.0, 1.0, 1.0], [2.0, 3.0, 4.0], [4.0, 5.0, 9.0]], {}),
        ],
    )
    def test_tables_are_not(self, X, parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            MatrixCompletion(0.1, **parameters).fit(X, [1.0, 2.0, 3.0])


class TestCrossValidation:
    def test_the_chosen_strength_is_the_best_of_those_tried(self):
        holes, _ = table((60, 10), noise=1.0)
        model = MatrixCompletionCV([0.01, 0.1, 0.3, 1.0], metric_powers=(0.0, 1.0)).fit(holes)
        assert model.cv_errors_.shape == (2, 4, 5)
        np.testing.assert_allclose(model.alphas_, [1.0, 0.3, 0.1, 0.01])
        i, j = np.unravel_index(np.nanargmin(np.mean(model.cv_errors_, axis=2)), (2, 4))
        assert model.alpha_ == pytest.approx(model.alphas_[j])
        assert model.metric_power_ == (0.0, 1.0)[i]
        assert model.status_.name == "regularized_minimum"
        plain = MatrixCompletion(model.alpha_, metric_power=model.metric_power_).fit(holes)
        scale = model.scale_
        np.testing.assert_allclose(model.transform(holes) / scale, plain.transform(holes) / scale, atol=1e-6)

    def test_held_out_errors_are_those_of_fits_to_the_others(self):
        holes, _ = table((40, 8), noise=0.5)
        model = MatrixCompletionCV([0.1], metric_powers=1.0, cv=4).fit(holes)
        assert 0.3 < np.sqrt(model.cv_errors_.mean()) * np.mean(model.scale_ / np.nanstd(holes, axis=0)) < 1

    def test_one_standard_error_penalises_more(self):
        holes, _ = table((60, 10), noise=1.0)
        best, cautious = (
            MatrixCompletionCV(metric_powers=1.0, selection=r).fit(holes) for r in ("best", "one_standard_error")
        )
        assert cautious.alpha_ >= best.alpha_
        assert cautious.rank_ <= best.rank_

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"cv": 1}, "cv"),
            ({"alphas": [0.0]}, "alphas"),
            ({"selection": "least"}, "selection"),
            ({"metric_powers": 3}, "power"),
        ],
    )
    def test_bad_parameters(self, parameters, words):
        with pytest.raises(InputError, match=words):
            MatrixCompletionCV(**parameters).fit(table()[0])


def test_a_table_in_place_of_positions_is_refused():
    table = np.where(np.eye(6, 4) > 0, np.nan, np.arange(24.0).reshape(6, 4))
    model = MatrixCompletion(alpha=0.1).fit(table)
    with pytest.raises(InputError, match=r"X has shape \(6, 4\), expected one position of a row .* leave columns out"):
        model.predict_interval(table, columns=[0])
