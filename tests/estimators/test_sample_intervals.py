"""Intervals of regressors of samples cover new responses, also of noise that grows, and errors name the argument."""

import numpy as np
import pytest
from sklearn.base import clone

from flatmin import BilinearRegressor, InputError, QuadraticNetworkRegressor, TraceRegressor, TraceRegressorCV
from flatmin.estimators._sample_intervals import SampleCalibration

MODELS = {
    "trace": TraceRegressor(calibration=5),
    "penalised": TraceRegressor(0.05, calibration=5),
    "bilinear": BilinearRegressor(n_left=4, calibration=5),
    "network": QuadraticNetworkRegressor(calibration=5),
    "folds": TraceRegressorCV(n_alphas=4, cv=3, calibration=5),
}


def data(seed, m=700, linear=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 8))
    y = 3 * (X[:, 0] - X[:, 5] if linear else X[:, 0] * X[:, 4]) + 1
    return X, y + 0.5 * rng.standard_normal(m)


@pytest.mark.parametrize("name", MODELS)
def test_new_responses_are_covered(name):
    X, y = data(0, linear=isinstance(MODELS[name], TraceRegressor))
    model, truth = MODELS[name].fit(X[:200], y[:200]), y[200:]
    low, high = model.predict_interval(X[200:])
    assert 0.84 <= np.mean((low <= truth) & (truth <= high)) <= 0.95
    values, std = model.predict(X[200:], return_std=True)
    np.testing.assert_allclose(values, (low + high) / 2)
    assert np.mean(((truth - values) / std) ** 2) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("name", ["prediction", "leverage"])
def test_widths_follow_noise_that_grows_with(name):
    rng = np.random.default_rng(0)
    predictions, leverages = 5 + rng.standard_normal(2000), rng.uniform(0, 1, 2000)
    sizes = np.abs(predictions - 5) if name == "prediction" else np.sqrt(leverages)
    y = predictions + sizes * rng.standard_normal(2000)
    found = SampleCalibration.from_predictions(y, predictions, leverages, 1e-8)
    small, large = found.scales(np.array([5.5, 8.0]), np.array([0.1, 0.1 if name == "prediction" else 0.9]))
    assert large > 2 * small
    inside = np.abs(y - predictions) <= found.quantile(0.9) * found.scales(predictions, leverages)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("name", ["trace", "bilinear", "network"])
def test_intervals_of_means_cover_the_function_without_noise(name, uneven):
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((500, 8))
        truth = 3 * (X[:, 0] - X[:, 5] if name == "trace" else X[:, 0] * X[:, 4]) + 1
        noise = np.sqrt(0.1 + X[:, 0] ** 2) if uneven else 1.0
        y = truth + noise * rng.standard_normal(500)
        model = clone(MODELS[name]).fit(X[:200], y[:200])
        low, high = model.predict_interval(X[200:], kind="mean")
        inside.append(np.mean((low <= truth[200:]) & (truth[200:] <= high)))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_intervals_of_means_shrink_with_the_number_of_samples():
    X, y = data(4, 1600)
    widths = []
    for m in (200, 1600):
        low, high = MODELS["bilinear"].fit(X[:m], y[:m]).predict_interval(X, kind="mean")
        widths.append(np.mean(high - low))
    assert widths[0] / widths[1] == pytest.approx(8**0.5, rel=0.2)


def test_weights_of_zero_leave_samples_out():
    X, y = data(1, 120)
    weights = (np.arange(120) < 60).astype(float)
    some = BilinearRegressor(0.1, n_left=4, calibration=5).fit(X, y, weights)
    np.testing.assert_allclose(
        some.predict_interval(X),
        BilinearRegressor(0.1, n_left=4, calibration=5).fit(X[:60], y[:60]).predict_interval(X),
        rtol=1e-3,
    )


def test_a_saved_model_has_the_calibration_that_was_computed(tmp_path):
    X, y = data(2, 80)
    model = BilinearRegressor(0.1, n_left=4, calibration=5).fit(X, y)
    model.save(tmp_path / "plain.npz")
    with pytest.raises(InputError, match="saved before its first interval"):
        BilinearRegressor.load(tmp_path / "plain.npz").predict_interval(X)
    model = BilinearRegressor(0.1, n_left=4, calibration=5, refit=True).fit(X, y)
    expected = [model.predict_interval(X, kind=kind) for kind in ("observation", "mean")]
    model.save(tmp_path / "calibrated.npz")
    loaded = BilinearRegressor.load(tmp_path / "calibrated.npz")
    found = [loaded.predict_interval(X, kind=kind) for kind in ("observation", "mean")]
    np.testing.assert_array_equal(found, expected)


def test_errors_name_the_argument():
    X, y = data(3, 80)
    model = BilinearRegressor(0.1, n_left=4, calibration=5).fit(X, y)
    with pytest.raises(InputError, match="kind is 'mean', but no refit predicts"):
        model.predict_interval(X, kind="mean")
    few = BilinearRegressor(0.1, n_left=4, refit=True).fit(X[:6], y[:6])
    with pytest.raises(InputError, match="kind is 'mean', but there are not more samples than free parameters"):
        few.predict_interval(X, kind="mean")
    with pytest.raises(InputError, match=r"confidence_level is 0\.999, expected at most"):
        model.predict_interval(X, confidence_level=0.999)
    with pytest.raises(InputError, match="calibration is None"):
        model.set_params(calibration=None).predict_interval(X)
    assert model.calibration_ is None
    with pytest.raises(InputError, match="there are 12 samples to calibrate"):
        BilinearRegressor(0.1, n_left=4).fit(X[:12], y[:12]).predict_interval(X)
