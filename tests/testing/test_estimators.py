"""The checks of scikit-learn that estimators must fail, by their settings."""

import pytest

import flatmin as fm
from flatmin.testing import expected_failed_checks

WEIGHTS = "check_sample_weight_equivalence_on_dense_data"


@pytest.mark.parametrize(
    ("estimator", "failed"),
    [
        (fm.TraceRegressor(0.1), set()),
        (fm.TraceRegressor(), {WEIGHTS}),
        (fm.BilinearRegressor(0.1, fit_linear=False), {WEIGHTS}),
        (fm.BilinearRegressor(0.1, fit_linear=False, metric_power=0), set()),
        (fm.MatrixCompletion(0.1), {"check_estimator_sparse_array", "check_estimator_sparse_matrix"}),
        (fm.RobustPCA(), set()),
    ],
)
def test_settings_decide(estimator, failed):
    assert set(expected_failed_checks(estimator)) == failed


def test_every_reason_is_a_sentence():
    reasons = expected_failed_checks(fm.MatrixCompletion())
    assert len(reasons) == 4
    assert all(len(reason.split()) > 5 for reason in reasons.values())


def test_pairs_have_two_columns():
    reasons = expected_failed_checks(fm.PairRegressor(0.1))
    assert "check_regressors_train" in reasons
    assert set(reasons.values()) == {reasons["check_regressors_train"]}
