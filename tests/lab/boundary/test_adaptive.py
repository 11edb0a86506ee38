"""Adaptive sweeps: as exact as the full grid at a third of the trials, and repeatable."""

import re
import threading
from dataclasses import replace

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab import Adaptive, PhaseMap, Result, Store, sweep
from tests.lab import experiments as made


def outcomes(recipe):
    return [Result(trial, made.is_shown(trial.parameters, trial.seed)) for trial in recipe.trials()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_adaptive_boundary_agrees_with_the_full_grid_at_a_third_of_the_cost(tmp_path, seed):
    recipe = made.mapped(seed=seed)
    with Store(tmp_path / "full.db") as store:
        full = sweep(recipe, store).results
    with Store(tmp_path / "adaptive.db") as store:
        outcome = sweep(recipe, store, plan=Adaptive(recipe))
    assert outcome.complete
    few = outcome.results
    assert len(few) <= len(full) / 3
    outcomes_of = {r.trial.key: r.metrics for r in full}
    assert all(outcomes_of[r.trial.key] == r.metrics for r in few)
    pairs = list(zip(PhaseMap(recipe, full).columns, PhaseMap(recipe, few).columns, strict=True))
    for whole, part in ((a.posterior.boundary(), b.posterior.boundary()) for a, b in pairs):
        assert part.low <= whole.value <= part.high
        assert whole.low <= part.value <= whole.high
    whole, part = PhaseMap(recipe, full).constant(), PhaseMap(recipe, few).constant()
    assert part.value == pytest.approx(whole.value, abs=0.03)
    assert part.high - part.low < 1.5 * (whole.high - whole.low)


@pytest.mark.slow
def test_a_third_spread_evenly_is_worse_than_a_third_well_chosen(tmp_path):
    """What makes the difference is the choice: the first three repetitions of the grid leave wider bands."""
    recipe = made.mapped(seed=11)
    with Store(tmp_path / "adaptive.db") as store:
        chosen = sweep(recipe, store, plan=Adaptive(recipe, precision=0)).results
    even = [result for result in outcomes(recipe) if result.trial.repetition < 3]
    assert len(chosen) <= 1.12 * len(even)
    bands = [
        np.mean([c.posterior.boundary().high - c.posterior.boundary().low for c in PhaseMap(recipe, results).columns])
        for results in (chosen, even)
    ]
    assert bands[0] < 0.85 * bands[1]


def test_an_adaptive_sweep_stops_when_bands_are_narrow(tmp_path):
    recipe = made.mapped()
    with Store(tmp_path / "trials.db") as store:
        rough = len(sweep(recipe, store, plan=Adaptive(recipe, precision=0.1)).results)
        states = []
        fine = sweep(recipe, store, plan=Adaptive(recipe, precision=0.02), callback=states.append)
    assert rough < 0.6 * len(fine.results)
    for column in PhaseMap(recipe, fine.results).columns:
        found = column.posterior.boundary()
        full = sum(column.trials) >= int(200 / 3) - 1
        assert full or (found.inside and found.high - found.low <= 0.04 * found.value)
    assert states[-1]["done"] == len(fine.results) <= states[-1]["total"] == 4 * 66


@pytest.mark.sampled(1)
@pytest.mark.parametrize("stops", [(1,), (7, 20, 21, 100), (50,)])
def test_an_adaptive_sweep_that_was_interrupted_makes_the_same_trials(tmp_path, stops):
    recipe = made.mapped(repetitions=6)
    with Store(tmp_path / "whole.db") as store:
        whole = sweep(recipe, store, plan=Adaptive(recipe)).results
    with Store(tmp_path / "parts.db") as store:
        for count in stops:
            stop = threading.Event()
            before = len(store.results(recipe))

            def watch(state, stop=stop, left=count - before):
                if state["computed"] == left:
                    stop.set()

            outcome = sweep(recipe, store, plan=Adaptive(recipe), stop=stop, callback=watch)
            assert len(outcome.results) == count
            assert not outcome.complete
        parts = sweep(recipe, store, plan=Adaptive(recipe)).results
    assert {r.trial.key for r in parts} == {r.trial.key for r in whole}


def test_an_adaptive_sweep_counts_its_own_trials_beside_others(tmp_path):
    """In a store with another part of the full grid: the same trials are chosen, and they are what is counted."""
    recipe = made.mapped(repetitions=6)
    with Store(tmp_path / "alone.db") as store:
        alone = sweep(recipe, store, plan=Adaptive(recipe)).results
    with Store(tmp_path / "beside.db") as store:
        sweep(replace(recipe, repetitions=2), store)
        states = []
        sweep(recipe, store, plan=Adaptive(recipe), callback=states.append)
        beside = store.grid_results(recipe)
    assert {r.trial.key for r in alone} <= {r.trial.key for r in beside}
    assert len(alone) < len(beside)
    assert states[-1]["done"] == len(alone)


def test_a_column_of_one_cell_gets_its_share(tmp_path):
    recipe = made.mapped(grid=[{"d": [40], "m": [80]}], repetitions=9)
    with Store(tmp_path / "trials.db") as store:
        assert len(sweep(recipe, store, plan=Adaptive(recipe)).results) == 3


@pytest.mark.parametrize("arguments", [{"share": 0}, {"share": 1.5}, {"precision": -1}, {"at_once": 0}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match=re.escape("expected ≤ 1, ≥ 0, ≥ 1")):
        Adaptive(made.mapped(), **arguments)
