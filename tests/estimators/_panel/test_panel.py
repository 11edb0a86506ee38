"""Panels: what is read, what is refused, and what placebos are."""

import numpy as np
import pandas as pd
import pytest

from flatmin import InputError
from flatmin.estimators._panel.panel import Panel, mean_along

RNG = np.random.default_rng(0)
Y = RNG.standard_normal((12, 6))
TREATED = np.zeros(Y.shape, dtype=bool)
TREATED[2, 3:], TREATED[5, 4:] = True, True


def changed(table, *cells_and_value):
    *cells, value = cells_and_value
    table = table.copy()
    table[tuple(cells)] = value
    return table


def test_cells_before_the_treatment_are_those_of_treated_units_only():
    panel = Panel.from_tables(Y, TREATED.astype(int))
    assert panel.treated_units.tolist() == [2, 5]
    assert np.argwhere(panel.before).tolist() == [[2, 0], [2, 1], [2, 2], [5, 0], [5, 1], [5, 2], [5, 3]]
    assert np.isnan(panel.untreated).sum() == TREATED.sum()


def test_a_treatment_that_ends_is_followed_by_untreated_cells_that_are_not_before_it():
    treated = changed(TREATED, 2, 5, False)
    panel = Panel.from_tables(Y, treated)
    assert not np.isnan(panel.untreated[2, 5])
    assert not panel.before[2, 5]


def test_a_placebo_has_controls_only_in_the_pattern_of_the_treated():
    panel = Panel.from_tables(Y, TREATED)
    placebo = panel.placebo(np.array([7, 0]))
    assert placebo.outcomes.shape == (10, 6)
    assert placebo.units.tolist() == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]
    assert np.array_equal(placebo.treated[placebo.units == 7], TREATED[[2]])
    assert np.array_equal(placebo.treated[placebo.units == 0], TREATED[[5]])
    assert placebo.treated.sum() == TREATED.sum()


def test_one_treated_unit_draws_each_control_once():
    panel = Panel.from_tables(Y, changed(TREATED, 5, slice(None), False))
    found = [int(units[0]) for units in panel.draws(np.random.default_rng(0))]
    assert sorted(found) == panel.controls.tolist()


def test_draws_of_several_units_are_different_and_balanced():
    panel = Panel.from_tables(Y, TREATED)
    draws = panel.draws(np.random.default_rng(0))
    found = [tuple(int(unit) for unit in next(draws)) for _ in range(20)]
    assert len(set(found)) == 20
    assert sorted(sum(found[:5], ())) == panel.controls.tolist()


def test_effects_and_gaps_are_outcomes_minus_counterfactuals():
    panel = Panel.from_tables(changed(Y, 2, 4, np.nan), TREATED)
    model = np.ones(Y.shape)
    effects = panel.effects(model)
    assert np.array_equal(np.isnan(effects), ~TREATED | np.isnan(panel.outcomes))
    assert np.allclose(panel.gaps(model)[[0, 4]], [Y[[2, 5], 0].mean() - 1, Y[5, 4] - 1])


def test_means_skip_missing_cells():
    cells = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert mean_along(cells) == 2
    assert np.array_equal(mean_along(cells, 0), [2, np.nan], equal_nan=True)


FRAME = pd.DataFrame(Y, index=list("abcdefghijkl"), columns=range(2000, 2006))
FRAME_TREATED = pd.DataFrame(TREATED, index=FRAME.index, columns=FRAME.columns)


def test_frames_give_labels_and_may_have_nullable_types():
    panel = Panel.from_tables(FRAME.astype("Float64").mask(FRAME > 2), FRAME_TREATED.astype("boolean"))
    assert panel.units.tolist() == list("abcdefghijkl")
    assert panel.periods.tolist() == list(range(2000, 2006))
    assert np.array_equal(np.isnan(panel.outcomes), Y > 2)


def test_labels_may_be_dates():
    days = pd.date_range("2020-01-01", periods=6)
    panel = Panel.from_tables(FRAME.set_axis(days, axis=1), TREATED)
    assert panel.periods.dtype.kind == "M"
    assert panel.units.dtype.kind == "U"


@pytest.mark.parametrize(
    ("outcomes", "treated", "words"),
    [
        (Y, TREATED & False, "treated is False throughout"),
        (Y, TREATED | (np.arange(6) > 3), "every unit is treated"),
        (Y, changed(TREATED, 2, slice(None), True), "unit 2 has no outcome before its treatment"),
        (FRAME.mask(FRAME_TREATED.index.to_series().eq("c"), np.nan), FRAME_TREATED, "unit c has no outcome before"),
        (np.where(TREATED, np.nan, Y), TREATED, "Y is missing in all treated cells"),
        (changed(Y, [0, 1, 3, 4, 6, 7, 8, 9, 10, 11], 5, np.nan), TREATED, "period 5 has treated outcomes only"),
        (Y, TREATED[:-1], r"Y has shape \(12, 6\) and treated \(11, 6\)"),
        (Y[0], TREATED[0], r"Y has shape \(6,\)"),
        (changed(Y, 0, 0, np.inf), TREATED, "Y contains infinity"),
        (Y, TREATED * 2, "values other than 0 and 1"),
        (Y, np.where(TREATED, np.nan, 0), "values other than 0 and 1"),
        (FRAME, FRAME_TREATED.iloc[::-1], "the units of treated are not those of Y"),
        (FRAME, FRAME_TREATED.set_axis(range(12)), "the units of treated are not those of Y"),
        (FRAME, FRAME_TREATED.set_axis(range(6), axis=1), "the periods of treated are not those of Y"),
        (FRAME.reset_index(), FRAME_TREATED.reset_index(), "Y is no table of real numbers, .* column 'index'"),
        ([["a", "b"], ["c", "d"]], TREATED, "Y is no table of real numbers"),
        (Y * 1j, TREATED, "Y is no table of real numbers"),
        (Y, TREATED.astype(str), "column 0 of treated holds 'False'"),
        ([[1.0, 2.0], [3.0]], TREATED, "Y is no table of real numbers"),
    ],
)
def test_what_determines_no_effect_is_refused_with_the_reason(outcomes, treated, words):
    with pytest.raises(InputError, match=words):
        Panel.from_tables(outcomes, treated)
