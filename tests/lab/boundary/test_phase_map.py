"""Columns of a phase map, and one constant for all of them."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab import Adaptive, PhaseMap, Result
from tests.lab import experiments as made


def outcomes(recipe):
    return [Result(trial, made.is_shown(trial.parameters, trial.seed)) for trial in recipe.trials()]


def test_a_map_counts_by_column():
    recipe = made.mapped()
    results = outcomes(recipe)
    results[0] = Result(results[0].trial, {}, reason="broken")
    columns = PhaseMap(recipe, results).columns
    assert [column.parameters for column in columns] == [{"d": d} for d in (40, 60, 80, 100)]
    assert sum(sum(column.trials) for column in columns) == len(results) - 1
    column = columns[2]
    for m, s, n in zip(column.values, column.successes, column.trials, strict=True):
        cell = [r for r in results if r.trial.parameters == {"d": 80, "m": m} and r.reason is None]
        assert (s, n) == (sum(r.metrics["success"] for r in cell), len(cell))
    assert column.points == pytest.approx(np.array(column.values) / 80)


def test_one_constant_for_all_columns():
    recipe = made.mapped()
    phase_map = PhaseMap(recipe, outcomes(recipe))
    pooled, one = phase_map.constant(), phase_map.constant(d=60)
    assert pooled.low <= 2 <= pooled.high
    assert pooled.high - pooled.low < 0.7 * (one.high - one.low)
    assert pooled.trials == 800
    assert one.value == pytest.approx(phase_map.columns[1].posterior.boundary().value, abs=0.01)
    with pytest.raises(InputError, match="no column of the map has these parameters"):
        phase_map.constant(d=5)


def test_a_recipe_without_a_transition_has_no_map():
    for make in (lambda recipe: PhaseMap(recipe, []), Adaptive):
        with pytest.raises(InputError, match="expected"):
            make(made.recipe_of())
