"""Covariates of panels are standardised, and those that cannot be used are named."""

import numpy as np
import pandas as pd
import pytest

import flatmin as fm
from flatmin import InputError
from flatmin.estimators._panel.covariates import Covariates


def test_a_mapping_and_an_array_are_the_same_in_mean_zero_and_variance_one():
    rng = np.random.default_rng(0)
    x, own = 3 + 5 * rng.standard_normal((4, 3, 2)), (np.arange(4), np.arange(3))
    seen = np.ones((4, 3), dtype=bool)
    seen[0, 0] = False
    found = Covariates.from_tables(x, seen, own)
    named = Covariates.from_tables({"a": x[:, :, 0], "b": x[:, :, 1]}, seen, own)
    assert named.names.tolist() == ["a", "b"]
    np.testing.assert_array_equal(found.values, named.values)
    np.testing.assert_allclose(found.values[seen].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.values[seen].std(axis=0), 1)
    np.testing.assert_allclose(found.values * found.deviations + found.means, x)
    np.testing.assert_array_equal(found.take(np.array([2, 0])).values, found.values[[2, 0]])


def test_covariates_that_cannot_be_used_are_named():
    rng = np.random.default_rng(2)
    Y, treated = rng.standard_normal((20, 12)), np.zeros((20, 12), dtype=bool)
    treated[0, 8:] = True
    x = rng.standard_normal(Y.shape)
    lacking = np.where(np.arange(12) == 3, np.nan, x)
    sides = np.arange(20.0)[:, None] + np.arange(12)
    for given, reason in [
        ({"x": sides}, "covariate x is a function of the unit plus one of the period"),
        ({"x": np.where(treated, x, 0.0)}, "covariate x is a function of the unit plus one of the period"),
        ({"x": x, "y": 2 * x + sides}, "a covariate is a linear function of the others"),
        ({"x": x[:, :5]}, r"covariate x has shape \(20, 5\), expected \(20, 12\) as Y"),
        ({"x": lacking}, "covariate x is nan for unit 0 in period 3"),
        ({"x": pd.DataFrame(x, index=range(1, 21))}, "the units of covariate x are not those of Y"),
        (x, r"covariates has shape \(20, 12\), expected \(units, periods, covariates\)"),
    ]:
        with pytest.raises(InputError, match=reason):
            fm.PanelEffect(1.0, n_placebos=9).fit(Y, treated, given)
