"""Regressors that choose their penalty: against a plain loop over the regressor itself, and scikit-learn's contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import flatmin as fm
from flatmin.estimators import (
    BilinearRegressor,
    BilinearRegressorCV,
    CovarianceSketch,
    CovarianceSketchCV,
    QuadraticNetworkRegressor,
    QuadraticNetworkRegressorCV,
    TraceRegressor,
    TraceRegressorCV,
)
from flatmin.testing import expected_failed_checks

PAIRS = [
    (TraceRegressorCV, TraceRegressor),
    (BilinearRegressorCV, BilinearRegressor),
    (QuadraticNetworkRegressorCV, QuadraticNetworkRegressor),
    (CovarianceSketchCV, CovarianceSketch),
]
CHOOSING = [pair[0] for pair in PAIRS]


@pytest.mark.sampled(40)
@parametrize_with_checks([c(n_alphas=4, cv=3) for c in CHOOSING], expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def samples(m=60, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 6))
    y = X[:, 0] * X[:, 3] + 0.5 * X[:, 1] ** 2 + X[:, 2] + 3 + noise * rng.standard_normal(m)
    return X, y


@pytest.mark.sampled(3)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("choosing", "plain"), PAIRS)
def test_errors_are_those_of_the_regressor_itself(choosing, plain, weighted):
    """Also centring, scaling and terms without a penalty are those of the training samples."""
    X, y = samples()
    weight = np.random.default_rng(1).uniform(0.2, 2, len(y)) if weighted else None
    found = choosing([3.0, 0.5], metric_powers=(1.0, 0.5), cv=KFold(3)).fit(X, y, weight)
    for k, (training, held_out) in enumerate(KFold(3).split(X)):
        for i, power in enumerate((1.0, 0.5)):
            for j, alpha in enumerate((3.0, 0.5)):
                one = plain(alpha, metric_power=power, refit=False)
                one.fit(X[training], y[training], None if weight is None else weight[training])
                w = np.ones(len(y)) if weight is None else weight / weight.mean()
                error = np.mean((w * (one.predict(X) - y) ** 2)[held_out])
                assert found.cv_errors_[i, j, k] == pytest.approx(error, rel=0.02)
    final = plain(found.alpha_, metric_power=found.metric_power_, refit=False).fit(X, y, weight)
    np.testing.assert_allclose(found.predict(X), final.predict(X), rtol=1e-4, atol=1e-4)
    assert found.status_ is fm.Status.regularized_minimum
    assert found.noise_ is None


@pytest.mark.parametrize("choosing", CHOOSING)
def test_what_is_found(choosing):
    X, y = samples()
    model = choosing(n_alphas=6, alpha_ratio=0.05).fit(X, y)
    assert model.alphas_.shape == (6,)
    assert model.alphas_[-1] == pytest.approx(0.05 * model.alphas_[0])
    assert model.cv_errors_.shape == (1, 6, 5)
    assert model.alpha_ in model.alphas_
    assert model.metric_power_ == 1.0
    assert "held-out mean squared error" in str(model)
    assert "of 6, best" in str(model)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))


def test_the_strongest_penalty_predicts_the_mean():
    X, y = samples()
    model = TraceRegressorCV(n_alphas=3, cv=KFold(3)).fit(X, y)
    for k, (training, held_out) in enumerate(KFold(3).split(X)):
        top = TraceRegressor(model.alphas_[0]).fit(X[training], y[training])
        expected = np.mean((y[held_out] - y[training].mean()) ** 2)
        if top.rank_ == 0:
            assert model.cv_errors_[0, 0, k] == pytest.approx(expected, rel=1e-9)
    assert TraceRegressor(model.alphas_[0] * 1.001).fit(X, y).rank_ == 0


def test_splitters_pairs_and_numbers():
    X, y = samples()
    groups = np.arange(60) % 7
    pairs = list(GroupKFold(4).split(X, y, groups))
    one = TraceRegressorCV([1.0, 0.3], cv=pairs).fit(X, y)
    two = TraceRegressorCV([1.0, 0.3], cv=iter(pairs)).fit(X, y)
    np.testing.assert_array_equal(one.cv_errors_, two.cv_errors_)
    assert TraceRegressorCV([1.0], cv=ShuffleSplit(6, random_state=0)).fit(X, y).cv_errors_.shape == (1, 1, 6)
    dealt = TraceRegressorCV([1.0], cv=6, random_state=3).fit(X, y)
    assert dealt.cross_validation_.sizes.tolist() == [10] * 6
    again = TraceRegressorCV([1.0], cv=6, random_state=4).fit(X, y)
    assert not np.array_equal(dealt.cv_errors_, again.cv_errors_)


def test_samples_without_weight_are_in_no_fold():
    X, y = samples()
    weight = np.ones(60)
    weight[::7] = 0
    pairs = list(KFold(3).split(X))
    kept = weight > 0
    position = np.cumsum(kept) - 1
    left = [tuple(position[side[kept[side]]] for side in pair) for pair in pairs]
    one = TraceRegressorCV([1.0, 0.3], cv=pairs).fit(X, y, weight)
    two = TraceRegressorCV([1.0, 0.3], cv=left).fit(X[kept], y[kept])
    np.testing.assert_allclose(one.cv_errors_, two.cv_errors_)


def test_one_standard_error_is_a_stronger_penalty():
    X, y = samples(noise=1.5)
    best, one = (TraceRegressorCV(selection=s).fit(X, y) for s in ("best", "one_standard_error"))
    assert one.alpha_ > best.alpha_
    assert one.rank_ <= best.rank_
    np.testing.assert_array_equal(one.cv_errors_, best.cv_errors_)


def test_threads_do_not_change_the_answer():
    X, y = samples()
    one, two = (QuadraticNetworkRegressorCV(n_alphas=5, n_jobs=n).fit(X, y) for n in (None, 2))
    np.testing.assert_array_equal(one.cv_errors_, two.cv_errors_)


def test_pipelines_frames_and_matrices():
    X, y = samples()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = make_pipeline(StandardScaler(), TraceRegressorCV(n_alphas=4, cv=3)).set_output(transform="pandas")
    assert model.fit(frame, y)[-1].feature_names_in_.tolist() == list("abcdef")
    assert len(cross_val_score(model, frame, y, cv=3)) == 3
    tensor = X.reshape(60, 3, 2)
    one = TraceRegressorCV(n_alphas=4, cv=3).fit(tensor, y)
    assert one.coef_.shape == (3, 2)
    np.testing.assert_allclose(
        one.predict(tensor), TraceRegressorCV(n_alphas=4, cv=3, shape=(3, 2)).fit(X, y).predict(X)
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"selection": "one_se"}, "selection is 'one_se'"),
        ({"cv": 1}, "cv is 1, expected from 2 folds"),
        ({"cv": 61}, "cv is 61"),
        ({"cv": [(np.arange(50), np.arange(50, 99))]}, "cv yields no pairs of indices of 60 samples"),
        ({"cv": []}, "cv holds out no sample"),
        ({"cv": [(np.arange(5), [])]}, "cv yields no pairs"),
        ({"cv": [(np.arange(5), np.arange(0))]}, "cv holds out no sample"),
        ({"metric_powers": (2.0,)}, "metric_power is 2.0"),
        ({"alphas": [-1.0]}, "alphas has shape"),
        ({"n_alphas": 0}, "n_alphas is 0"),
        ({"alpha_ratio": 2}, "ratio is 2"),
        ({"verbose": -1}, "verbose is -1"),
        ({"tol": 0}, "tol is 0"),
    ],
)
def test_bad_parameters(parameters, words):
    with pytest.raises(ValueError, match=words):
        TraceRegressorCV(**parameters).fit(*samples())


def test_training_on_what_is_held_out_is_refused():
    """Pairs are those of a splitter, but nothing keeps a user from overlapping ones."""
    X, y = samples()
    with pytest.raises(ValueError, match="trains on a sample that it holds out"):
        TraceRegressorCV([1.0], cv=[(np.arange(40), np.arange(30, 60))]).fit(X, y)


def test_one_fold_has_no_standard_error():
    X = np.random.default_rng(0).standard_normal((60, 4))
    pair = np.arange(40), np.arange(40, 60)
    for selection in ("best", "one_standard_error"):
        model = TraceRegressorCV(n_alphas=4, cv=[pair], selection=selection).fit(X, X[:, 0] + X[:, 1] ** 2)
        assert "of one fold" in str(model)
        assert "nan" not in str(model)
