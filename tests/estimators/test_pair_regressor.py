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
from flatmin.errors import InputError
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
        return X.iloc[:, :2].round()
    table = X if hasattr(X, "tocsr") else np.asarray(X)
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] < 3:
        return X
    return np.rint(table[:, :2]) if table.dtype.kind == "f" else table[:, :2]


def repeated_values_are_evidence(estimator):
    """Repeated values tell more about the noise than weights do, so estimated strengths differ."""
    reason = repeated_values_are_evidence.__doc__
    return {} if estimator.alpha == 0.1 else {"check_sample_weight_equivalence_on_dense_data": reason}


@pytest.mark.sampled(12)
@parametrize_with_checks(
    [FirstColumns(0.1), FirstColumns()],
    expected_failed_checks=repeated_values_are_evidence,
)
def test_scikit_learn_accepts_it_as_a_regressor(estimator, check):
    check(estimator)


@pytest.mark.sampled(12)
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
        with pytest.raises(ValueError, match=r"non-zero|no entry is observed"):
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


class TestRecommendations:
    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls):
        X, y, _ = ratings(noise=0.3)
        return PairRegressor(0.1, metric_power=0.5).fit(X, y), X, y

    def test_the_best_unseen_columns_come_first(self, fitted):
        model, X, _ = fitted
        ids, values = model.recommend("user 3", 5)
        seen = set(X[X[:, 0] == "user 3", 1])
        unseen = np.array([j for j in model.column_ids_ if j not in seen])
        predicted = model.predict(["user 3"] * len(unseen), unseen)
        np.testing.assert_array_equal(ids, unseen[np.argsort(-predicted)][:5])
        np.testing.assert_array_equal(values, np.sort(predicted)[::-1][:5])
        assert len(model.recommend("user 3", 1000)[0]) == len(unseen)
        assert len(model.recommend("user 3", 1000, exclude_seen=False)[0]) == 25

    def test_limits_do_not_change_the_order(self, fitted):
        model, X, y = fitted
        clipped = clone(model).set_params(clip=(2.9, 3.1)).fit(X, y)
        np.testing.assert_array_equal(clipped.recommend("user 7")[0], model.recommend("user 7")[0])
        assert set(np.round(clipped.predict(X), 6)) >= {2.9, 3.1}
        assert clipped.predict(X).min() == 2.9
        assert clipped.recommend("user 7")[1].max() <= 3.1

    def test_similar_columns_have_factors_of_the_same_direction(self):
        rng = np.random.default_rng(0)
        taste, kind = rng.standard_normal((60, 2)), np.array([[1, 0], [2, 0], [-1, 0], [0, 1], [0, 3]])
        X = [(i, f"film {j}") for i in range(60) for j in range(5)]
        model = PairRegressor(0.05, offsets="none").fit(X, (taste @ kind.T).ravel())
        ids, cosines = model.similar("film 0", 4)
        assert ids[0] == "film 1"
        assert ids[-1] == "film 2"
        assert cosines[0] > 0.95 > 0.5 > abs(cosines[1])
        assert cosines[-1] < -0.95
        assert len(model.similar("film 0", 1)[0]) == 1

    @pytest.mark.parametrize("parameters", [{}, *({"alpha": 0.1, "offsets": k} for k in ("none", "columns", "both"))])
    def test_a_row_that_is_folded_in_is_one_that_was_fitted(self, parameters):
        X, y, _ = ratings(noise=0.3)
        model = PairRegressor(**parameters).fit(X, y)
        before, mine = model.predict(X), X[:, 0] == "user 3"
        pairs = [("a new user", j) for j in X[mine, 1]]
        grown = model.fold_in(pairs, y[mine])
        np.testing.assert_allclose(grown.predict(pairs), model.predict(X[mine]), rtol=1e-9)
        np.testing.assert_allclose(grown.predict([("a new user", 770)]), model.predict([("user 3", 770)]), rtol=1e-9)
        np.testing.assert_array_equal(grown.predict(X), before)
        assert "a new user" not in model.row_ids_
        assert list(grown.recommend("a new user")[0]) == list(model.recommend("user 3")[0])
        for user in ("user 12", "user 39"):
            assert list(grown.recommend(user)[0]) == list(model.recommend(user)[0])
        twice = grown.fold_in([("another", 30), ("third", 30)], [5.0, 1.0])
        assert twice.predict([("another", 40)]) != twice.predict([("third", 40)])

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda m: m.recommend("nobody"), "row 'nobody' is unknown, expected one of the 40 that were fitted"),
            (lambda m: m.recommend(3), "the row holds numbers, expected strings"),
            (lambda m: m.recommend("user 3", 0), "n is 0"),
            (lambda m: m.similar(31), "column 31 is unknown"),
            (lambda m: m.similar(np.int64(31)), "column 31 is unknown"),
            (lambda m: m.similar(["a", "b"]), "the column holds list"),
            (lambda m: m.fold_in([("user 3", 30)], [1.0]), "row 'user 3' was fitted already"),
            (lambda m: m.fold_in([("new", 31)], [1.0]), "column 31 was not fitted"),
            (lambda m: m.fold_in([("new", 30)], [np.nan]), "NaN"),
            (lambda m: m.fold_in([("new", 30)], [1.0, 2.0]), "inconsistent"),
            (lambda m: m.fold_in([("new", 30)], None), "y is None"),
        ],
    )
    def test_unknown_ids_are_named(self, fitted, call, words):
        with pytest.raises(ValueError, match=words):
            call(fitted[0])

    def test_dates_are_ids(self):
        X = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=4).repeat(3), "place": list("abc") * 4})
        model = PairRegressor(0.01).fit(X, np.arange(12.0))
        want = model.recommend(model.row_ids_[1], exclude_seen=False)
        for day in ("2020-01-02", pd.Timestamp("2020-01-02"), np.datetime64("2020-01-02")):
            assert list(model.recommend(day, exclude_seen=False)[0]) == list(want[0])
        with pytest.raises(InputError, match="'soon' is no date"):
            model.recommend("soon")
        with pytest.raises(InputError, match="is unknown"):
            model.recommend("2021-01-01")

    @pytest.mark.parametrize("clip", [3, (1,), (5, 1), ("a", "b"), (1, np.inf), "15"])
    def test_limits_are_two_numbers(self, fitted, clip):
        with pytest.raises(InputError, match="clip is"):
            clone(fitted[0]).set_params(clip=clip).fit(*fitted[1:])

    def test_a_matrix_of_rank_zero_has_no_similar_columns(self):
        X, y, _ = ratings()
        with pytest.raises(InputError, match="has a factor of zero"):
            PairRegressor(100.0).fit(X, y).similar(30)


class TestFeatures:
    @pytest.fixture(scope="class")
    @classmethod
    def rated(cls):
        """Return pairs and values of films whose offsets follow from a feature, and the features of all films."""
        rng = np.random.default_rng(0)
        feature = rng.standard_normal(40)
        films = feature + 0.2 * rng.standard_normal(40)
        i, j = np.divmod(rng.permutation(60 * 40)[:1200], 40)
        y = 3 + films[j] + 0.5 * rng.standard_normal(60)[i] + 0.3 * rng.standard_normal(1200)
        pairs = [(f"user {a}", f"film {b}") for a, b in zip(i, j, strict=True)]
        frame = pd.DataFrame({"size": 10 * feature, "nothing": 1.0}, index=[f"film {k}" for k in range(40)])
        return pairs, y, frame, 3 + films

    def test_films_without_ratings_follow_their_features(self, rated):
        pairs, y, frame, truth = rated
        warm = np.array([int(film.split()[1]) < 25 for _, film in pairs])
        known = [pair for pair, seen in zip(pairs, warm, strict=True) if seen]
        model = PairRegressor(0.3, column_features=frame).fit(known, y[warm])
        assert list(model.column_ids_) == sorted(frame.index)
        assert model.certificate_.holds
        np.testing.assert_allclose(model.column_coef_, [0.1, 0.0], atol=0.02)
        cold = [f"film {k}" for k in range(25, 40)]
        np.testing.assert_allclose(model.predict(["nobody"] * 15, cold), truth[25:], atol=0.7)
        plain = PairRegressor(0.3).fit(known, y[warm])
        missed = [np.std(m.predict(["nobody"] * 15, cold) - truth[25:]) for m in (model, plain)]
        assert missed[0] < 0.4 < 0.6 < missed[1]
        ids, _ = model.recommend("user 3", 5)
        assert set(ids) & set(cold)

    def test_the_fit_is_the_least_joint_objective(self, rated):
        pairs, y, frame, _ = rated
        parameters = {"column_features": frame[["size"]], "feature_alpha": 2.0, "offset_alpha": (3.0, 4.0)}
        model = PairRegressor(0.2, tol=1e-10, **parameters).fit(pairs, y)
        feature = (frame["size"] / frame["size"].std(ddof=0)).to_numpy()
        feature = dict(zip(frame.index, feature - feature.mean(), strict=True))
        U, z = np.array([feature[film] for film in model.column_ids_]), model.offsets_
        i, j = model._ids.codes(pairs)
        left = y - model.predict(pairs)
        own = z.columns - U * z.column_slopes[0]
        np.testing.assert_allclose(left.sum(), 0, atol=1e-6)
        np.testing.assert_allclose(np.bincount(i, left), 3.0 * z.rows, atol=1e-6)
        np.testing.assert_allclose(np.bincount(j, left), 4.0 * own, atol=1e-6)
        np.testing.assert_allclose(U @ np.bincount(j, left), 2.0 * z.column_slopes[0], atol=1e-6)

    def test_rows_are_folded_in_by_their_features(self, rated):
        pairs, y, frame, _ = rated
        turned = [(film, user) for user, film in pairs]
        rest = np.array([film != "film 7" for film, _ in turned])
        known = [pair for pair, kept in zip(turned, rest, strict=True) if kept]
        model = PairRegressor(0.3, row_features=frame).fit(known, y[rest])
        cold = model.predict([("film 7", "nobody")])
        grown = model.fold_in([("film 7", "user 1")], [float(cold[0]) + 2])
        assert 0 < grown.predict([("film 7", "nobody")])[0] - cold[0] < 2
        assert list(grown.row_ids_) == list(model.row_ids_)
        np.testing.assert_array_equal(grown.predict(known), model.predict(known))
        with pytest.raises(InputError, match="was fitted already"):
            grown.fold_in([("film 7", "user 1")], [3.0])

    @pytest.fixture(scope="class")
    @classmethod
    def matched(cls):
        """Return pairs, values that hold slopes of people on features of films, and the features; 5 films are cold."""
        rng = np.random.default_rng(0)
        slopes, w = rng.standard_normal((60, 2)) * [1.0, 0.3], rng.standard_normal((40, 2))
        i, j = np.divmod(rng.permutation(60 * 35)[:1200], 35)
        own = 0.5 * rng.standard_normal(60)
        truth = 3 + own[:, None] + slopes @ w.T
        y = truth[i, j] + 0.3 * rng.standard_normal(1200)
        films = pd.DataFrame(10 * w, index=[f"{k:02}" for k in range(40)])
        pairs = [(f"{a:02}", f"{b:02}") for a, b in zip(i, j, strict=True)]
        return pairs, y, films, truth, slopes / 10

    def test_slopes_of_rows_predict_cold_columns(self, matched, tmp_path):
        pairs, y, films, truth, slopes = matched
        model = PairRegressor(0.3, column_features=films).fit(pairs, y)
        assert model.certificate_.holds
        np.testing.assert_allclose(model.interaction_coef_, slopes, atol=0.04)
        new = [(f"{a:02}", f"{b:02}") for a in range(60) for b in range(35, 40)]
        assert np.std(model.predict(new) - truth[:, 35:].ravel()) < 0.2
        plain = clone(model).set_params(interactions=False).fit(pairs, y)
        assert np.std(plain.predict(new) - truth[:, 35:].ravel()) > 0.4
        assert plain.interaction_coef_.shape == (60, 0)
        low, high = model.predict_interval(new)
        assert 0.8 < np.mean((low <= truth[:, 35:].ravel()) & (truth[:, 35:].ravel() <= high)) <= 1
        of_one = [(pair, value) for pair, value in zip(pairs, y, strict=True) if pair[0] == "07"]
        grown = model.fold_in([("zz", film) for (_, film), _ in of_one], [value for _, value in of_one])
        at = grown.row_ids_.searchsorted(["07", "zz"])
        np.testing.assert_allclose(*grown.interaction_coef_[at], atol=1e-4)
        cold = [[(name, f"{b:02}") for b in range(35, 40)] for name in ("07", "zz")]
        np.testing.assert_allclose(*map(grown.predict, cold), atol=1e-3)
        grown.save(tmp_path / "model.npz")
        again = PairRegressor.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(again.predict(new), grown.predict(new))
        np.testing.assert_array_equal(again.interaction_coef_, grown.interaction_coef_)

    def test_the_fit_with_slopes_is_the_least_joint_objective(self, matched):
        pairs, y, films, _, _ = matched
        given = {"column_features": films, "feature_alpha": (2.0, 3.0, 5.0)}
        model = PairRegressor(0.2, tol=1e-10, offset_alpha=(3.0, 4.0), **given).fit(pairs, y)
        i, j = model._ids.codes(pairs)
        left = y - model.predict(pairs)
        seen = films.to_numpy()[np.unique(j)]
        features = ((films.to_numpy() - seen.mean(axis=0)) / seen.std(axis=0))[j]
        gradient = np.zeros((60, 2))
        np.add.at(gradient, i, left[:, None] * features)
        np.testing.assert_allclose(gradient, 5.0 * model.interaction_coef_ * seen.std(axis=0), atol=1e-5)
        np.testing.assert_allclose(left.sum(), 0, atol=1e-6)

    def test_forms_of_features_agree(self, rated, tmp_path):
        pairs, y, frame, _ = rated
        mapping = {film: list(row) for film, row in zip(frame.index, frame.to_numpy(), strict=True)}
        want = PairRegressor(0.3, column_features=frame).fit(pairs, y).predict(pairs)
        model = clone(PairRegressor(0.3, column_features=mapping)).fit(pairs, y)
        np.testing.assert_array_equal(model.predict(pairs), want)
        model.set_params(column_features=frame).save(tmp_path / "model.npz")
        again = PairRegressor.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(again.predict(pairs), want)
        np.testing.assert_array_equal(clone(again).fit(pairs, y).predict(pairs), want)

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"column_features": [1, 2]}, "column_features is a list, expected a mapping"),
            ({"column_features": {"film 1": [1.0], "film 2": [1.0, 2.0]}}, "unequal or non-numeric"),
            ({"column_features": {"film 1": ["a"]}}, "unequal or non-numeric"),
            ({"column_features": {3: [1.0]}}, "holds strings, expected numbers"),
            ({"column_features": {"film 1": [np.inf]}}, "expected finite numbers"),
            ({"row_features": pd.DataFrame({"a": ["x"]}, index=["user 1"])}, "column 'a' of row_features is not num"),
            ({"row_features": pd.DataFrame({"a": [1, 2]}, index=["u", "u"])}, "has the id 'u' twice"),
            ({"column_features": {"film 1": [1.0]}, "offsets": "rows"}, "expected penalised offsets of columns"),
            ({"column_features": {"film 1": [1.0]}, "feature_alpha": "much"}, "feature_alpha is 'much'"),
            ({"column_features": {"film 1": [1.0]}, "feature_alpha": (1, 2, 3, 4)}, "feature_alpha"),
            ({"row_features": {"user 1": [1.0]}, "interactions": True}, "expected column_features"),
            ({"interactions": "yes"}, "expected True, False or 'auto'"),
            ({"column_features": {"film 1": 2000 * [1.0]}, "interactions": True}, "expected at most 100000000"),
        ],
    )
    def test_bad_features(self, rated, parameters, words):
        with pytest.raises(InputError, match=words):
            PairRegressor(0.3, **parameters).fit(*rated[:2])
