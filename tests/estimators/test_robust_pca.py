"""Robust PCA as an estimator: scikit-learn's contract, recovery, new rows, equivariance."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import flatmin as fm
from flatmin.estimators.robust_pca import RobustPCA
from flatmin.solvers.robust.scores import robust_coefficients
from flatmin.testing import expected_failed_checks

ESTIMATORS = [RobustPCA(), RobustPCA(0.0), RobustPCA(0.01, center=None), RobustPCA(0.01, refit=True)]


@pytest.mark.sampled(60)
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def table(*, noise=0.05, wrong=0.05, holes=0.1, shape=(70, 24), rank=3, seed=0, rows=0):
    """Return a table with offsets, its clean version, where it is wrong; and so many more rows of the same kind."""
    rng = np.random.default_rng(seed)
    n, d = shape[0] + rows, shape[1]
    clean = rng.standard_normal((n, rank)) * [3.0, 2.0, 1.0][:rank] @ rng.standard_normal((rank, d))
    clean += rng.uniform(-20, 20, d)
    bad = rng.random((n, d)) < wrong
    X = clean + noise * rng.standard_normal((n, d)) + bad * rng.choice([-1, 1], (n, d)) * rng.uniform(20, 100, (n, d))
    X[rng.random((n, d)) < holes] = np.nan
    split = shape[0]
    return X[:split], clean[:split], bad[:split], X[split:], clean[split:], bad[split:]


def angle(components, clean):
    """Return the sine of the largest angle between the components and those of clean data."""
    right = PCA(len(components)).fit(clean).components_
    return np.linalg.norm(components - components @ right.T @ right, 2)


@pytest.mark.slow
def test_tables_with_errors_noise_and_holes():
    X, clean, bad, new, truth, new_bad = table(rows=40)
    pca = RobustPCA().fit(X)
    assert pca.n_components_ == pca.rank_ == 3
    assert angle(pca.components_, clean) < 0.02
    assert np.sqrt(np.mean((pca.low_rank_ - clean) ** 2)) < 0.05
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(pca.outlier_mask_[bad & seen], True)
    assert np.mean(pca.outlier_mask_[~bad & seen]) < 0.02
    assert not pca.outlier_mask_[~seen].any()
    np.testing.assert_array_equal(pca.sparse_ != 0, pca.outlier_mask_)
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(3), atol=1e-12)
    variances = PCA(3).fit(clean)
    np.testing.assert_allclose(pca.explained_variance_, variances.explained_variance_, rtol=0.02)
    assert 0.98 < pca.explained_variance_ratio_.sum() < 1
    scores = pca.transform(new)
    assert np.sqrt(np.mean((pca.inverse_transform(scores) - truth) ** 2)) < 0.06
    known = ~np.isnan(new)
    np.testing.assert_array_equal(pca.outliers(new)[new_bad & known], True)
    assert np.mean(pca.outliers(new)[~new_bad & known]) < 0.02


def test_data_without_noise_are_recovered_exactly():
    X, clean, bad, new, truth, _ = table(noise=0.0, wrong=0.03, holes=0.05, shape=(120, 80), rank=2, rows=20)
    pca = RobustPCA(0.0).fit(X)
    assert pca.n_components_ == 2
    assert pca.certificate_.unique
    np.testing.assert_allclose(pca.low_rank_, clean, atol=1e-6)
    np.testing.assert_array_equal(pca.outlier_mask_, bad & ~np.isnan(X))
    np.testing.assert_allclose(pca.inverse_transform(pca.transform(new)), truth, atol=1e-6)


@pytest.mark.slow
def test_a_given_strength_and_its_refit():
    X, clean, *_ = table()
    found = RobustPCA().fit(X)
    alpha = found.noise_.alpha
    plain, refitted = RobustPCA(alpha).fit(X), RobustPCA(alpha, refit=True).fit(X)
    errors = [np.linalg.norm(pca.low_rank_ - clean) for pca in (plain, refitted)]
    assert errors[1] < 0.7 * errors[0]
    np.testing.assert_array_equal(plain.sparse_, plain.solution_.sparse)
    assert np.sqrt(np.mean((refitted.low_rank_ - found.low_rank_) ** 2)) < 0.02
    kept = RobustPCA(refit=False).fit(X)
    assert np.sqrt(np.mean((kept.low_rank_ - plain.low_rank_) ** 2)) < 0.02
    assert kept.rank_ >= found.rank_


@pytest.mark.slow
def test_order_units_and_offsets():
    X, *_ = table()
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(X.shape[0]), rng.permutation(X.shape[1])
    pca = RobustPCA().fit(X)
    moved = RobustPCA().fit(X[rows][:, columns])
    np.testing.assert_allclose(moved.low_rank_, pca.low_rank_[rows][:, columns], atol=2e-3)
    np.testing.assert_array_equal(moved.outlier_mask_, pca.outlier_mask_[rows][:, columns])
    scaled = RobustPCA().fit(1e3 * X)
    np.testing.assert_allclose(scaled.low_rank_, 1e3 * pca.low_rank_, atol=1.0)
    offset = rng.uniform(-1e4, 1e4, X.shape[1])
    shifted = RobustPCA().fit(X + offset)
    np.testing.assert_allclose(shifted.low_rank_, pca.low_rank_ + offset, atol=1e-3)
    np.testing.assert_allclose(shifted.components_, pca.components_, atol=1e-5)
    np.testing.assert_allclose(shifted.transform(X[:5] + offset), pca.transform(X[:5]), atol=1e-3)


def test_ordinary_pca_is_misled():
    X, clean, *_ = table(holes=0.0)
    assert angle(PCA(3).fit(X).components_, clean) > 0.5
    assert angle(RobustPCA().fit(X).components_, clean) < 0.02


def test_rows_and_columns_without_values():
    X, *_ = table()
    X[4], X[:, 7] = np.nan, np.nan
    pca = RobustPCA().fit(X)
    assert np.isfinite(pca.low_rank_).all()
    np.testing.assert_allclose(pca.low_rank_[4], pca.mean_)
    assert pca.mean_[7] == 0
    np.testing.assert_allclose(pca.components_[:, 7], 0, atol=1e-12)
    scores = pca.transform(np.full((1, 24), np.nan))
    np.testing.assert_allclose(scores, 0, atol=1e-12)


@pytest.mark.slow
def test_it_works_with_the_rest_of_scikit_learn():
    pandas = pytest.importorskip("pandas")
    X, clean, *_ = table()
    y = clean @ np.linspace(-1, 1, 24)
    frame = pandas.DataFrame(X, columns=[f"sensor {j}" for j in range(24)])
    pca = RobustPCA().set_output(transform="pandas").fit(frame)
    assert (
        list(pca.transform(frame).columns) == list(pca.get_feature_names_out()) == [f"robustpca{k}" for k in range(3)]
    )
    assert pickle.loads(pickle.dumps(pca)).rank_ == 3
    pipeline = make_pipeline(RobustScaler(), clone(pca).set_output(transform="default"), LinearRegression())
    assert pipeline.fit(frame, y).score(frame, y) > 0.99
    search = GridSearchCV(make_pipeline(RobustPCA(), LinearRegression()), {"robustpca__alpha": ["auto", 1e-3]}, cv=2)
    assert search.fit(X, y).best_params_ == {"robustpca__alpha": "auto"}
    assert "rank" in str(pca)


BAD = {
    "center": ({"center": "mean"}, "center is 'mean'"),
    "alpha": ({"alpha": "much"}, "alpha is 'much'"),
    "weight": ({"weight": -1}, "weight is -1"),
    "refit": ({"refit": 3}, "refit is 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_are_refused(name):
    settings, message = BAD[name]
    with pytest.raises(fm.InputError, match=message):
        RobustPCA(**settings).fit(np.arange(12.0).reshape(4, 3))


def test_bad_tables_are_refused():
    pca = RobustPCA().fit(table()[0])
    with pytest.raises(fm.InputError, match="no value at all"):
        RobustPCA().fit(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="infinity"):
        pca.transform(np.full((1, 24), np.inf))
    with pytest.raises(fm.InputError, match="expected 3: one score a component"):
        pca.inverse_transform(np.zeros((2, 4)))


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_robust_scores_are_those_of_a_general_solver(level):
    import cvxpy as cp

    rng = np.random.default_rng(0)
    R, Y = rng.standard_normal((12, 3)), 5 * rng.standard_normal((6, 12))
    Y += rng.standard_normal((6, 3)) @ R.T
    seen = rng.random(Y.shape) < 0.8
    T, _ = robust_coefficients(Y, seen, R, level=level)
    for y, known, t in zip(Y, seen, T, strict=True):
        x = cp.Variable(3)
        left = y[known] - R[known] @ x
        loss = cp.norm1(left) if level == 0 else cp.sum(cp.huber(left, level))
        cp.Problem(cp.Minimize(loss)).solve(solver=cp.CLARABEL)
        residual = y[known] - R[known] @ t
        sizes = np.abs(residual)
        own = sizes.sum() if level == 0 else np.where(sizes <= level, sizes**2, 2 * level * sizes - level**2).sum()
        assert own <= loss.value * (1 + 5e-3)


def test_parameters_set_after_the_fit_change_no_scores():
    X = np.random.default_rng(0).standard_normal((40, 2)) @ np.random.default_rng(1).standard_normal((2, 8))
    model = RobustPCA(alpha=0.01).fit(X)
    before = model.transform(X)
    np.testing.assert_array_equal(model.set_params(weight=5.0, alpha=1.0, center=None).transform(X), before)


def test_the_centre_has_degrees_of_freedom():
    """Of small tables the means take a good part of the noise with them."""
    models = [RobustPCA().fit(np.random.default_rng(seed).standard_normal((15, 60))) for seed in range(16)]
    level, raw = (np.median([noise.sigma for noise in found]) for found in zip(*map(_levels, models), strict=True))
    assert abs(level - 1) < 0.025
    assert raw < 0.98


def _levels(model):
    return model.noise_, model.solution_.noise
