"""Pair regression: recovery, unknown ids, weights, kinds of input, and scikit-learn's contract."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _check_n_features

from flatmin import MatrixCompletion, PairRegressor, PairRegressorCV
from flatmin.testing import expected_failed_checks


class FirstColumns(PairRegressor):
    """A regressor that takes the first two columns of scikit-learn's test data as ids, rounded so that ids repeat."""

    def fit(self, X, y=None, sample_weight=None):
        super().fit(first_columns(X), y, sample_weight)
        _check_n_features(self, X, reset=True)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # since ids are rounded
        return tags

    def predict(self, X, columns=None):
        if hasattr(self, "n_features_in_") and len(getattr(X, "shape", "12")) == 2:
            _check_n_features(self, X, reset=False)
        return super().predict(first_columns(X), columns)


def first_columns(X):
    if hasattr(X, "iloc"):
        return X.iloc[:, :2]
    table = X if hasattr(X, "tocsr") else np.asarray(X)
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] < 3:
        return X
    return np.rint(table[:, :2]) if table.dtype.kind == "f" else table[:, :2]


@pytest.mark.sampled(20)
@parametrize_with_checks([FirstColumns(0.1), FirstColumns()])
def test_scikit_learn_accepts_it_as_a_regressor(estimator, check):
    check(estimator)


@pytest.mark.sampled(20)
@parametrize_with_checks([PairRegressor(0.1), PairRegressorCV()], expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def ratings(n=40, d=25, noise=0.0, seed=0, share=0.4):
    """Return pairs of ids, values with offsets and a matrix of rank one, and these values without noise."""
    rng = np.random.default_rng(seed)
    V = 3 + rng.standard_normal((n, 1)) + rng.standard_normal(d) + np.outer(*map(rng.standard_normal, (n, d)))
    rows, columns = np.nonzero(rng.random((n, d)) < share)
    order = rng.permutation(len(rows))
    rows, columns = rows[order], columns[order]
    X = np.empty((len(rows), 2), dtype=object)
    X[:, 0], X[:, 1] = [f"user {i}" for i in rows], columns * 10
    truth = V[rows, columns]
    return X, truth + noise * rng.standard_normal(len(rows)), truth


class TestPairs:
    def test_values_are_predicted(self):
        X, y, truth = ratings(noise=0.1)
        model = PairRegressor().fit(X, y)
        assert model.score(X, truth) > 0.98
        assert model.n_features_in_ == 2
        assert len(model.row_ids_) == 40
        assert model.certificate_.holds

    @pytest.mark.slow
    def test_held_out_values_by_a_search_over_the_metric(self):
        X, y, _ = ratings(noise=0.3)
        model = PairRegressor(0.1, tol=1e-7)
        folds = KFold(3, shuffle=True, random_state=0)
        search = GridSearchCV(model, {"metric_power": [0.0, 0.5, 1.0]}, cv=folds).fit(X, y)
        assert search.best_score_ > 0.6
        assert cross_val_score(model.set_params(alpha=100.0), X, y, cv=folds).mean() < search.best_score_

    def test_unseen_ids_get_offsets(self):
        X, y, _ = ratings(noise=0.1)
        model = PairRegressor(0.1).fit(X, y)
        z = model.offsets_
        new = model.predict([("nobody", 990), ("user 3", 990), ("nobody", 30)])
        i, j = np.flatnonzero(model.row_ids_ == "user 3")[0], np.flatnonzero(model.column_ids_ == 30)[0]
        np.testing.assert_allclose(new, [z.constant, z.constant + z.rows[i], z.constant + z.columns[j]])
        np.testing.assert_allclose(
            model.predict(["user 3", "user 4"], [30, 0]), model.predict([("user 3", 30), ("user 4", 0)])
        )

    def test_it_is_the_same_fit_as_that_of_the_sparse_table(self):
        X, y, _ = ratings(noise=0.3)
        model = PairRegressor(0.2, offsets="none").fit(X, y)
        rows = np.searchsorted(model.row_ids_, X[:, 0].astype(str))
        columns = np.searchsorted(model.column_ids_, X[:, 1].astype(int))
        cells = sparse.coo_array((y, (rows, columns)))
        same = MatrixCompletion(0.2, offsets="none", scale=False).fit(cells)
        np.testing.assert_allclose(same.predict(rows, columns), model.predict(X), atol=1e-7)

    def test_weights_are_repetitions(self):
        X, y, _ = ratings(noise=0.3)
        weight = np.where(np.arange(len(y)) < 50, 2.0, 1.0)
        weight[-20:] = 0
        twice = np.r_[np.arange(len(y) - 20), np.arange(50)]
        model = PairRegressor(0.1, offset_alpha=5.0)
        a = clone(model).fit(X, y, sample_weight=weight).predict(X)
        b = clone(model).fit(X[twice], y[twice]).predict(X)
        fitted = np.isin(X[:, 0], X[twice, 0]) & np.isin(X[:, 1], X[twice, 1])
        np.testing.assert_allclose(a[fitted], b[fitted], atol=1e-6)

    def test_frames_have_names(self):
        X, y, _ = ratings(noise=0.3)
        frame = pd.DataFrame({"user": X[:, 0], "item": X[:, 1].astype(int)})
        model = PairRegressor(0.1).fit(frame, y)
        assert list(model.feature_names_in_) == ["user", "item"]
        np.testing.assert_allclose(model.predict(frame), PairRegressor(0.1).fit(X, y).predict(X))

    @pytest.mark.parametrize(
        ("X", "y", "words"),
        [
            ([("a", 1)], None, "y is None"),
            ([("a", 1), ("b", 2)], [1.0], "inconsistent"),
            ([("a", 1)], [np.nan], "NaN"),
            ([("a", 1, 2)], [1.0], "two columns"),
            ([("a", None)], [1.0], "missing ids"),
        ],
    )
    def test_bad_ratings(self, X, y, words):
        with pytest.raises(ValueError, match=words):
            PairRegressor(0.1).fit(X, y)

    def test_what_does_not_apply(self):
        X, y, _ = ratings()
        with pytest.raises(ValueError, match="non-zero"):
            PairRegressor(0.1).fit(X, y, sample_weight=np.zeros(len(y)))

    def test_weights_are_routed(self):
        X, y, _ = ratings(noise=0.3)
        weight = np.where(np.arange(len(y)) < 60, 0.0, 1.0)
        model = PairRegressor(0.1)
        with config_context(enable_metadata_routing=True):
            pipeline = make_pipeline(clone(model).set_fit_request(sample_weight=True)).fit(X, y, sample_weight=weight)
        want = model.fit(X, y, sample_weight=weight).predict(X)
        np.testing.assert_array_equal(pipeline.predict(X), want)
        assert np.abs(want - clone(model).fit(X, y).predict(X)).max() > 0.01

    def test_strength_and_metric_by_cross_validation(self):
        X, y, truth = ratings(noise=0.3)
        model = PairRegressorCV(metric_powers=1.0, n_alphas=6).fit(X, y)
        assert model.certificate_.holds
        assert np.mean((model.predict(X) - truth) ** 2) < 0.1 * truth.var()
