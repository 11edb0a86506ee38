"""Variances of predictions of a refit cover the truth, and the noise of columns is estimated."""

import numpy as np
import pytest

from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._intervals.mean import mean_variances, noise_variances
from tests.estimators._completion.tables import fitted, noisy


def test_means_are_covered_where_a_refit_predicts():
    parts = {"hidden": [], "observed": []}
    for seed in range(4):
        truth, table, seen = noisy((100, 25), sigma=0.5, seed=seed)
        fit = CellPredictor.from_fit(fitted(table, seen, wanted=True))
        for name, cells in (("hidden", ~seen), ("observed", seen)):
            i, j = np.nonzero(cells)
            half = 1.645 * np.sqrt(mean_variances(fit, i, j))
            parts[name].append(np.mean(np.abs(truth[i, j] - fit.at(i, j)) <= half))
            assert np.all(half < 3 * 0.5)
    for found in parts.values():
        assert 0.86 <= np.mean(found) <= 0.94


@pytest.mark.parametrize("sigma", [0.2, 0.8])
def test_the_noise_of_columns_is_estimated(sigma):
    _, table, seen = noisy((300, 20), sigma=sigma)
    noise = np.sqrt(noise_variances(CellPredictor.from_fit(fitted(table, seen, wanted=True))))
    np.testing.assert_allclose(noise, sigma, rtol=0.2)
    assert noise.mean() == pytest.approx(sigma, rel=0.1)


def test_unequal_noise_of_columns_is_told_apart():
    _, table, seen = noisy((300, 20), sigma=0.0)
    table[:, 10:] += 0.8 * np.random.default_rng(2).standard_normal((300, 10))
    noise = np.sqrt(noise_variances(CellPredictor.from_fit(fitted(table, seen, wanted=True))))
    assert noise[:10].max() < noise[10:].min()
    np.testing.assert_allclose(noise[10:], 0.8, rtol=0.2)
