"""Cross-validation over cells: strengths in the user's units, and folds that leave every row and column a cell."""

from dataclasses import replace

import numpy as np
import pytest

from flatmin import InputError, MatrixCompletionCV, PairRegressorCV

RNG = np.random.default_rng(0)
PAIRS = RNG.integers(0, 12, (100, 2))
VALUES = np.outer(*RNG.standard_normal((2, 12)))[tuple(PAIRS.T)] + 0.1 * RNG.standard_normal(100)


def test_strengths_are_in_the_units_of_the_plain_estimator():
    model = PairRegressorCV([0.5, 0.1], metric_powers=1.0, cv=3).fit(PAIRS, VALUES)
    np.testing.assert_allclose(model.alphas_, [0.5, 0.1])
    assert min(abs(model.alphas_ - model.alpha_)) < 1e-12
    assert model.cv_errors_.shape == (1, 2, 3)
    assert not {"alpha", "metric_power", "refit", "stop", "engine"} & model.get_params().keys()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"cv": 1.5}, "cv is 1.5"), ({"alphas": [0.0]}, "alphas"), ({"selection": "least"}, "selection")],
)
def test_bad_parameters(parameters, words):
    with pytest.raises(InputError, match=words):
        PairRegressorCV(**parameters).fit(PAIRS, VALUES)


def test_without_a_cell_to_hold_out():
    with pytest.raises(InputError, match="none can be held out"):
        MatrixCompletionCV().fit(np.where(np.eye(4), 1.0, np.nan))


def test_intervals_are_calibrated_on_the_fits_of_the_cross_validation(monkeypatch):
    table = np.outer(RNG.standard_normal(30), RNG.standard_normal(8)) + 0.3 * RNG.standard_normal((30, 8))
    table[RNG.random(table.shape) < 0.2] = np.nan
    model = MatrixCompletionCV(n_alphas=5, metric_powers=1.0, cv=4).fit(table)
    anew = MatrixCompletionCV(n_alphas=5, metric_powers=1.0, cv=4, calibration=4).fit(table)
    anew._found = replace(anew._found, folds=())
    expected = anew.calibration_.scores
    monkeypatch.setattr("flatmin.estimators._intervals.fold_fits.fit_cells", None)
    np.testing.assert_allclose(model.calibration_.scores, expected, rtol=0.05, atol=0.02)
