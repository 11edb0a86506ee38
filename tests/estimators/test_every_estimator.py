"""What every estimator promises: scikit-learn's checks, and what flatmin adds to them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import flatmin as fm
from flatmin.testing import expected_failed_checks

ESTIMATORS = [
    fm.TraceRegressor(),
    fm.TraceRegressor(0.1, fit_intercept=False),
    fm.BilinearRegressor(),
    fm.BilinearRegressor(0.1, fit_linear=True),
    fm.BilinearRegressor(0.1, metric_power=0.0, fit_intercept=False),
    fm.BilinearRegressor(0.3),
    fm.QuadraticNetworkRegressor(),
    fm.QuadraticNetworkRegressor(0.1),
    fm.QuadraticNetworkRegressor(0.1, metric_power=0.0, fit_linear=False),
]


@pytest.mark.sampled(150)
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def test_every_estimator_is_importable_from_the_package():
    shells = {"FlatEstimator", "MatrixRegressor"}
    assert set(fm.ESTIMATORS) == set(fm.estimators.__all__) - shells
    assert all(getattr(fm, name) is getattr(fm.estimators, name) for name in fm.ESTIMATORS)
    assert set(fm.ESTIMATORS) <= set(fm.__all__)
