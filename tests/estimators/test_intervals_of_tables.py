"""Intervals of `MatrixCompletion`: of positions, tables and new rows, in the user's units, computed when asked for."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from flatmin import MatrixCompletion, MatrixCompletionCV
from flatmin.errors import InputError
from tests.estimators._completion.tables import noisy


@pytest.fixture(scope="module")
def data():
    _, table, seen = noisy((150, 10), seed=3)
    return table, np.where(seen, table, np.nan)


@pytest.fixture(scope="module")
def model(data):
    return MatrixCompletion(0.05).fit(data[1])


def test_intervals_of_the_table_are_those_of_its_positions(data, model):
    low, high = model.predict_interval(data[1])
    i, j = np.nonzero(np.isnan(data[1]))
    at = model.predict_interval(i, j)
    np.testing.assert_allclose([low[i, j], high[i, j]], at, rtol=1e-9)
    assert low.shape == high.shape == data[1].shape
    np.testing.assert_allclose((low + high) / 2, model.predict(data[1]), rtol=1e-9)


def test_hidden_cells_are_covered(data, model):
    hidden = np.isnan(data[1])
    low, high = (end[hidden] for end in model.predict_interval(data[1], confidence_level=0.9))
    assert 0.86 <= np.mean((low <= data[0][hidden]) & (data[0][hidden] <= high)) <= 0.95


def test_new_rows_are_covered(model):
    rng = np.random.default_rng(9)
    truth, _, _ = noisy((150, 10), seed=3)
    new = truth[rng.integers(0, 150, 400)] * rng.standard_normal((400, 1)) + 0.4 * rng.standard_normal((400, 10))
    hidden = rng.random(new.shape) < 0.3
    low, high = model.predict_interval(np.where(hidden, np.nan, new))
    assert 0.82 <= np.mean((low <= new)[hidden] & (new <= high)[hidden]) <= 0.96


def test_standard_deviations_are_of_the_size_of_errors(data, model):
    hidden = np.isnan(data[1])
    mean, std = model.predict(data[1], return_std=True)
    np.testing.assert_allclose(mean, model.predict(data[1]), rtol=1e-9)
    assert np.mean(((data[0] - mean) / std)[hidden] ** 2) == pytest.approx(1, abs=0.2)
    i, j = np.nonzero(hidden)
    np.testing.assert_allclose(model.predict(i, j, return_std=True)[1], std[i, j], rtol=1e-9)


def test_intervals_have_the_units_of_the_columns(data):
    units, origins = 10.0 ** np.arange(-5, 5), np.linspace(-7, 9, 10)
    low, high = MatrixCompletion(0.05).fit(data[1]).predict_interval(data[1])
    other = units * data[1] + origins * units
    ends = MatrixCompletion(0.05).fit(other).predict_interval(other)
    for end, scaled in zip((low, high), ends, strict=True):
        np.testing.assert_allclose(scaled / units - origins, end, atol=1e-3)


def test_sparse_tables_have_the_same_intervals(data):
    cells = csr_array(np.nan_to_num(data[1]))
    model = MatrixCompletion(0.05).fit(cells)
    np.testing.assert_allclose(
        model.predict_interval(cells), MatrixCompletion(0.05).fit(data[1]).predict_interval(data[1])
    )


def test_nothing_is_held_out_before_an_interval_is_asked_for(data, monkeypatch):
    asked = []
    from flatmin.estimators import _completer

    true = _completer.fold_fits
    monkeypatch.setattr(_completer, "fold_fits", lambda *arguments: asked.append(1) or true(*arguments))
    model = MatrixCompletion(0.05, calibration=2).fit(data[1])
    model.predict(data[1])
    assert not asked
    model.predict_interval(data[1])
    model.predict_interval([0], [0], confidence_level=0.5)
    model.predict([0], [0], return_std=True)
    assert len(asked) == 1
    assert model.calibration_ is model.calibration_


def test_folds_may_be_changed_after_the_fit(data):
    model = MatrixCompletion(0.05, calibration=1).fit(data[1])
    few = len(model.calibration_.scores)
    assert len(model.set_params(calibration=5).calibration_.scores) > 4 * few
    assert model.set_params(calibration=None).calibration_ is None


def test_the_seed_decides_which_cells_are_held_out(data):
    ends = [MatrixCompletion(0.05, random_state=seed).fit(data[1]).predict_interval([0], [0]) for seed in (1, 1, 2)]
    assert ends[0] == ends[1] != ends[2]


def test_cross_validation_has_intervals_too(data):
    model = MatrixCompletionCV(n_alphas=5, metric_powers=(1.0,)).fit(data[1])
    hidden = np.isnan(data[1])
    low, high = (end[hidden] for end in model.predict_interval(data[1]))
    assert 0.86 <= np.mean((low <= data[0][hidden]) & (data[0][hidden] <= high)) <= 0.95


def test_copies_have_the_same_intervals(data, model):
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict_interval(data[1]), model.predict_interval(data[1]))
    again = clone(model).fit(data[1])
    np.testing.assert_allclose(again.predict_interval(data[1]), model.predict_interval(data[1]))


def test_empty_columns_have_infinite_intervals(data):
    table = data[1].copy()
    table[:, 4] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MatrixCompletion(0.05).fit(table)
        low, high = model.predict_interval(table)
    assert np.all(np.isneginf(low[:, 4]))
    assert np.all(np.isposinf(high[:, 4]))
    assert np.all(np.isfinite(np.delete(low, 4, axis=1)))


def test_constant_columns_have_narrow_intervals(data):
    table = data[1].copy()
    table[:, 4] = np.where(np.isnan(table[:, 4]), np.nan, 1234.0)
    low, high = MatrixCompletion(0.05).fit(table).predict_interval(table)
    assert np.all(low[:, 4] <= 1234)
    assert np.all(high[:, 4] >= 1234)
    assert np.max(high[:, 4] - low[:, 4]) < 0.01


def test_means_need_a_refit(data, model):
    with pytest.raises(InputError, match="kind is 'mean', but no refit predicts"):
        model.predict_interval(data[1], kind="mean")
    refit = MatrixCompletion(refit=True, calibration=None).fit(data[1])
    low, high = refit.predict_interval(data[1], kind="mean")
    assert np.all(low < high)


def test_errors_name_the_argument(data, model):
    with pytest.raises(InputError, match="confidence_level is 95, expected a number between 0 and 1"):
        model.predict_interval(data[1], confidence_level=95)
    with pytest.raises(InputError, match="kind is 'both'"):
        model.predict_interval(data[1], kind="both")
    with pytest.raises(InputError, match="calibration is None"):
        MatrixCompletion(0.05, calibration=None).fit(data[1]).predict_interval(data[1])
    with pytest.raises(InputError, match="calibration is 'all'"):
        MatrixCompletion(0.05, calibration="all").fit(data[1]).predict([0], [0], return_std=True)
    with pytest.raises(InputError, match="rows reach from 0 to 150"):
        model.predict_interval([0, 150], [0, 1])
    with pytest.raises(NotFittedError):
        MatrixCompletion().predict_interval(data[1])


def test_a_file_has_the_calibration_that_was_computed(data, tmp_path):
    model = MatrixCompletion(0.05).fit(data[1])
    model.save(tmp_path / "plain.npz")
    again = MatrixCompletion.load(tmp_path / "plain.npz")
    np.testing.assert_array_equal(again.transform(data[1]), model.transform(data[1]))
    with pytest.raises(InputError, match="saved before its first interval"):
        again.predict_interval(data[1])
    expected = model.predict_interval(data[1])
    model.save(tmp_path / "calibrated.npz")
    again = MatrixCompletion.load(tmp_path / "calibrated.npz")
    np.testing.assert_array_equal(again.predict_interval(data[1]), expected)
