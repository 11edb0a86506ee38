"""Folds of the samples of a regressor."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from flatmin import InputError, TraceRegressorCV

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((20, 4)), rng.standard_normal(20)


def fitted(cv, weight=None):
    return TraceRegressorCV([1.0], cv=cv).fit(X, Y, weight)


def test_a_number_deals_all_samples():
    assert fitted(4).cv_errors_.shape == (1, 1, 4)


def test_samples_of_weight_zero_are_in_no_fold():
    weight = np.r_[np.zeros(5), np.ones(15)]
    assert fitted(KFold(4), weight).cv_errors_.shape == (1, 1, 3)  # the first fold has no other sample


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "cv is 1, expected from 2 folds"),
        ([(np.arange(10), np.arange(5, 15))], "trains on a sample that it holds out"),
        ([(np.arange(10), np.arange(0))], "cv holds out no sample"),
        ([(np.arange(10), np.array([50]))], "yields no pairs of indices of 20 samples"),
    ],
)
def test_other_folds_are_refused(cv, message):
    with pytest.raises(InputError, match=message):
        fitted(cv)
