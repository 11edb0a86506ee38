"""Effects in panels: a study with a known answer, unbiased effects, the size of the rank test, and refusals."""

import numpy as np
import pandas as pd
import pytest

import flatmin as fm
from flatmin import InputError
from tests.imports import ROOT

EFFECT = 3.0


def panel(rng, *, units=20, periods=12, confounding=0.0, noise=0.2, starts=(8,)):
    """Return outcomes of a factor model, and which cells are treated; the first units have other loadings."""
    factor, loadings = np.cumsum(rng.standard_normal(periods)), rng.standard_normal(units)
    treated = np.zeros((units, periods), dtype=bool)
    for unit, start in enumerate(starts):
        treated[unit, start:], loadings[unit] = True, loadings[unit] + confounding
    Y = np.outer(loadings, factor) + rng.standard_normal((units, 1)) + rng.standard_normal(periods)
    return Y + noise * rng.standard_normal(Y.shape), treated


@pytest.fixture(scope="module")
def fitted():
    Y, treated = panel(np.random.default_rng(1), starts=(8, 6), units=14)
    Y[treated] += EFFECT
    Y[5, 3] = Y[0, 9] = np.nan
    frame = pd.DataFrame(Y, index=[f"unit {k}" for k in range(14)], columns=range(1990, 2002))
    model = fm.PanelEffect(n_placebos=12).fit(frame, pd.DataFrame(treated, frame.index, frame.columns))
    return model, frame, treated


def test_effects_are_averages_over_treated_cells(fitted):
    model, frame, treated = fitted
    seen = treated & frame.notna().to_numpy()
    effects = frame.to_numpy() - model.counterfactual_
    assert np.array_equal(np.isnan(model.effects_), ~seen)
    assert np.allclose(model.effects_[seen], effects[seen])
    assert np.isclose(model.att_, effects[seen].mean())
    assert np.allclose(model.effects_by_unit_[:2], [effects[0, [8, 10, 11]].mean(), effects[1, 6:].mean()])
    assert np.allclose(model.effects_by_period_[[6, 8]], [effects[1, 6], effects[:2, 8].mean()])
    assert np.isnan(model.effects_by_unit_[2:]).all()
    assert np.isnan(model.effects_by_period_[:6]).all()
    assert abs(model.att_ - EFFECT) < 0.3
    assert model.units_[1] == "unit 1"
    assert model.periods_[-1] == 2001


def test_inference_is_by_placebos_in_the_staggered_pattern(fitted):
    model, _, _ = fitted
    placebos = model.placebos_
    assert placebos.units.shape == (12, 2)
    assert not {"unit 0", "unit 1"} & set(placebos.units.ravel())
    assert np.isclose(model.att_std_error_, np.std(placebos.effects, ddof=1))
    assert model.p_value_ == 1 / 13
    low, high = model.att_interval(0.9)
    assert np.isclose(high - low, 2 * np.sort(np.abs(placebos.effects))[-1])
    assert low < EFFECT < high
    assert 0.05 < model.pre_rmse_ < 0.4
    assert np.isfinite(model.pre_rmse_by_unit_).sum() == 2


def test_the_summary_and_the_plot_show_the_effect(fitted):
    model, frame, _ = fitted
    assert f"effect: {model.att_:.4g} ±" in str(model)
    ax = model.plot(confidence_level=0.8)
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert np.allclose(lines["treated"], frame.iloc[:2].mean())
    assert np.array_equal(lines["counterfactual"], model.counterfactual_mean_)
    assert model.plot(ax) is ax


def test_a_loaded_model_has_the_same_effects(fitted, tmp_path):
    model, _, _ = fitted
    model.save(tmp_path / "model.npz")
    loaded = fm.PanelEffect.load(tmp_path / "model.npz")
    assert loaded.att_ == model.att_
    assert loaded.att_interval(0.8) == model.att_interval(0.8)
    assert np.array_equal(loaded.effects_, model.effects_, equal_nan=True)


def test_a_given_strength_is_not_chosen():
    Y, treated = panel(np.random.default_rng(0))
    model = fm.PanelEffect(0.05, refit=False).fit(Y, treated)
    assert model.placebos_.errors.shape == (19, 1)
    assert model.certificate_.holds
    assert np.isclose(model.alpha_, 0.05)


def test_a_very_strong_penalty_leaves_differences_in_differences():
    Y, treated = panel(np.random.default_rng(0))
    model = fm.PanelEffect(1e4, refit=False).fit(Y, treated)
    change = Y[:, 8:].mean(axis=1) - Y[:, :8].mean(axis=1)
    assert np.isclose(model.att_, change[0] - change[1:].mean())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": "noise"}, "alpha is 'noise', expected a positive number, or 'auto'"),
        ({"refit": "never"}, "refit is 'never'"),
        ({"n_placebos": 8}, "n_placebos is 8, expected a whole number of at least 9"),
        ({"metric_power": 2.0}, "metric_power"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, words):
    with pytest.raises(InputError, match=words):
        fm.PanelEffect(**parameters).fit(*panel(np.random.default_rng(0)))


def test_parallel_trends_without_noise_are_found():
    Y, treated = np.add.outer(np.arange(12.0), np.arange(6.0) ** 2), np.zeros((12, 6), dtype=bool)
    treated[4, 3:] = True
    model = fm.PanelEffect().fit(Y + EFFECT * treated, treated)
    assert np.isclose(model.att_, EFFECT)
    assert model.att_std_error_ < 1e-9
    assert model.rank_ == 0


def test_levels_out_of_range_are_refused(fitted):
    model, _, _ = fitted
    for level in (0, 1, "high"):
        with pytest.raises(InputError, match="confidence_level"):
            model.att_interval(level)
    with pytest.raises(InputError, match=r"12 placebos allow a confidence_level of at most 0\.923"):
        model.plot(confidence_level=0.95)


@pytest.mark.slow
def test_the_smoking_panel_has_the_published_effect():
    """Matrix completion in Arkhangelsky et al. 2021: −20.2 ± 11.5; differences in differences: −27.3."""
    long = pd.read_csv(ROOT.parents[1] / "examples" / "data" / "prop99.csv", sep=";")
    Y = long.pivot(index="State", columns="Year", values="PacksPerCapita")
    treated = long.pivot(index="State", columns="Year", values="treated")
    model = fm.PanelEffect().fit(Y, treated)
    assert abs(model.att_ + 19.6) < 1
    assert abs(model.att_std_error_ - 11.7) < 1
    assert len(model.placebos_.effects) == 38
    assert abs(fm.PanelEffect(100.0, refit=False).fit(Y, treated).att_ + 27.35) < 0.01
    refitted = fm.PanelEffect(refit=True).fit(Y, treated)
    assert refitted.rank_ == 1
    assert model.att_ < refitted.att_ < -12


@pytest.mark.slow
def test_effects_are_unbiased_under_confounding_by_a_factor_and_differences_are_not():
    errors = []
    for seed in range(15):
        Y, treated = panel(np.random.default_rng(seed), confounding=2.0)
        slope = np.sign(np.cumsum(np.random.default_rng(seed).standard_normal(12))[8:].mean())
        found = [fm.PanelEffect(*alpha, refit=bool(not alpha) and "auto").fit(Y, treated).att_ for alpha in ([], [1e4])]
        errors.append(slope * np.array(found))
    ours, differences = np.array(errors).T
    assert abs(ours.mean()) < 3 * ours.std() / np.sqrt(15)
    assert abs(ours.mean()) < 0.1
    assert differences.mean() > 0.5


@pytest.mark.slow
def test_the_rank_test_has_its_size():
    """With 9 controls p ≤ 0.1 says that the treated unit has the largest effect: 1 of 10 exchangeable units."""
    rejected = [
        fm.PanelEffect().fit(*panel(np.random.default_rng(seed), units=10, noise=1.0)).p_value_ <= 0.1
        for seed in range(50)
    ]
    assert abs(np.mean(rejected) - 0.1) <= 3 * np.sqrt(0.1 * 0.9 / 50)


def covariates(rng, shape):
    """Return two covariates that vary over time differently between units, in different units."""
    return {"price": 1e3 * rng.standard_normal(shape).cumsum(axis=1), "income": 5 + rng.standard_normal(shape)}


def test_without_a_matrix_covariates_are_least_squares_with_dummies():
    rng = np.random.default_rng(0)
    Y, treated = panel(rng, starts=(8, 6))
    Y[4, 2] = np.nan
    given = covariates(rng, Y.shape)
    model = fm.PanelEffect(1e5, refit=False, n_placebos=9).fit(Y, treated, given)
    (n, t), (i, j) = Y.shape, np.nonzero(~treated & ~np.isnan(Y))
    dummies = np.hstack([np.eye(n)[i], np.eye(t)[j], *(x[i, j][:, None] / x.std() for x in given.values())])
    found = np.linalg.lstsq(dummies, Y[i, j], rcond=None)[0]
    slopes = found[n + t :] / [x.std() for x in given.values()]
    fitted = found[:n, None] + found[n : n + t] + sum(b * x for b, x in zip(slopes, given.values(), strict=True))
    np.testing.assert_allclose(model.coef_, slopes, rtol=1e-8)
    np.testing.assert_allclose(model.counterfactual_, fitted, atol=1e-8)
    assert model.covariates_.tolist() == ["price", "income"]


def test_a_matrix_is_fitted_together_with_covariates(tmp_path):
    rng = np.random.default_rng(1)
    Y, treated = panel(rng, confounding=1.5)
    given = covariates(rng, Y.shape)
    Y += 0.002 * given["price"] - given["income"] + EFFECT * treated
    frames = {name: pd.DataFrame(x) for name, x in given.items()}
    model = fm.PanelEffect(0.02, refit=True, n_placebos=9).fit(pd.DataFrame(Y), pd.DataFrame(treated), frames)
    assert model.coef_ == pytest.approx([0.002, -1], rel=0.1)
    assert model.att_ == pytest.approx(EFFECT, abs=0.5)
    assert model.certificate_.holds
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fm.PanelEffect.load(tmp_path / "model.npz").coef_, model.coef_)
