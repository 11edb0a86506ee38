"""Placebos: their errors against a fit by hand, the choice of a candidate, ranks and quantiles."""

import numpy as np
import pytest

from flatmin import InputError, PairRegressor
from flatmin._core.limits import Limits
from flatmin.estimators._panel.panel import Panel
from flatmin.estimators._panel.placebos import Placebos, _best

RNG = np.random.default_rng(0)
Y = RNG.standard_normal((12, 2)) @ RNG.standard_normal((2, 10)) + RNG.standard_normal((12, 1))
Y += 0.1 * RNG.standard_normal(Y.shape)
TREATED = np.zeros(Y.shape, dtype=bool)
TREATED[3, 6:] = True
PANEL = Panel.from_tables(Y, TREATED)


@pytest.mark.parametrize("refit", [False, True])
def test_a_placebo_is_a_fit_of_pairs_to_the_controls(refit):
    found = Placebos.fitted(PANEL, 11, [(refit, np.array([0.3, 0.1]))], 1.0, Limits())
    unit = int(found.units[4, 0])
    i, j = np.nonzero((np.arange(12) != 3)[:, None] & ((np.arange(12) != unit)[:, None] | (np.arange(10) < 6)))
    model = PairRegressor(0.1, offset_alpha=0.0, refit=refit).fit(np.stack([i, j], axis=1), Y[i, j])
    predicted = model.predict(np.stack([np.full(4, unit), np.arange(6, 10)], axis=1))
    assert np.isclose(found.errors[4, 1], np.mean((Y[unit, 6:] - predicted) ** 2), rtol=0.3 if refit else 0.01)
    assert found.errors.shape == (11, 2)
    assert found.gaps.shape == (11, 10)
    assert np.allclose(found.gaps[:, 6:].mean(axis=1), found.effects)
    assert np.allclose(np.sqrt(np.mean(found.gaps[:, :6] ** 2, axis=1)), found.pre_rmse)


def test_free_effects_alone_are_differences_in_differences():
    found = Placebos.fitted(PANEL, 11, [(False, np.array([1e4]))], 1.0, Limits())
    unit = int(found.units[0, 0])
    others = np.setdiff1d(np.arange(12), [3, unit])
    change = Y[:, 6:].mean(axis=1) - Y[:, :6].mean(axis=1)
    assert np.isclose(found.effects[0], change[unit] - change[others].mean())


def test_a_refit_must_be_clearly_better():
    refits = np.array([False, False, True])
    errors = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.9, 0.9, 0.9, 0.8]])
    assert _best(errors, refits) == 2
    assert _best(errors + np.array([[0], [0], [0.2]]), refits) == 1
    noisy = errors + np.array([[0] * 4, [0] * 4, [1.0, -1.0, 1.0, -1.0]])
    assert _best(noisy, refits) == 1
    assert _best(errors[2:], refits[2:]) == 0


def test_no_placebo_takes_part_in_its_own_choice():
    found = Placebos.fitted(PANEL, 11, [(False, 0.5 * 0.5 ** np.arange(5)), (True, np.array([0.3]))], 1.0, Limits())
    for k, own in enumerate(found.own):
        assert own == _best(np.delete(found.errors, k, axis=0).T, found.refits)


def test_ranks_and_quantiles_agree():
    errors = np.array([-5.0, 1.0, 2.0, -3.0, 4.0, 0.5, 6.0, -7.0, 8.0])
    found = Placebos(*[np.zeros(0)] * 4, 0, np.zeros(0), errors, np.zeros(9), errors[:, None])
    assert found.p_value(9.0) == 0.1
    assert found.p_value(-7.0) == 0.3
    assert found.half_width(0.9) == 8
    assert found.half_width(0.8) == 7
    assert found.band(0.8).tolist() == [7]
    with pytest.raises(InputError, match=r"9 placebos allow a confidence_level of at most 0\.9, not 0\.95"):
        found.half_width(0.95)


def test_too_few_controls_are_refused():
    with pytest.raises(InputError, match=r"8 controls for 1 treated unit.* allow 8 placebo treatments, expected at"):
        Placebos.fitted(Panel.from_tables(Y[:9], TREATED[:9]), 100, [(False, np.array([1.0]))], 1.0, Limits())


def test_controls_without_outcomes_in_the_pattern_play_no_placebo():
    outcomes = Y.copy()
    outcomes[0, 6:], outcomes[1, :6] = np.nan, np.nan
    found = Placebos.fitted(Panel.from_tables(outcomes, TREATED), 100, [(False, np.array([1.0]))], 1.0, Limits())
    assert sorted(found.units.ravel().tolist()) == [2, 4, 5, 6, 7, 8, 9, 10, 11]
