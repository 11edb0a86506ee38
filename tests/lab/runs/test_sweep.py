"""Sweeps: every trial once, failures with reasons, and stops."""

import re

import pytest

from flatmin.lab import Processes, Result, Serial, Store, sweep
from tests.lab import experiments as made


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "trials.db") as opened:
        yield opened


@pytest.mark.parametrize("place", [Serial(), Processes(2)], ids=["here", "processes"])
def test_a_sweep_makes_every_trial_once(store, place):
    recipe, states = made.recipe_of(count=7, repetitions=3), []
    outcome = sweep(recipe, store, executor=place, callback=states.append)
    assert outcome.complete
    assert [(r.trial.parameters["a"], r.trial.repetition) for r in outcome.results] == [
        (a, repetition) for a in range(7) for repetition in range(3)
    ]
    assert all(r.metrics == made.value_of(r.trial.parameters, r.trial.seed) for r in outcome.results)
    assert [state["done"] for state in states] == list(range(1, 22))
    assert {state["total"] for state in states} == {21}
    states.clear()
    assert sweep(recipe, store, executor=place, callback=states.append).results == outcome.results
    assert states == []


def test_a_larger_grid_uses_what_is_there(store):
    sweep(made.recipe_of(count=5, repetitions=2), store)
    made_now = []
    outcome = sweep(made.recipe_of(count=6, repetitions=3), store, callback=made_now.append)
    assert (len(outcome.results), len(made_now)) == (18, 8)
    assert len(sweep(made.recipe_of(count=2), store).results) == 2


def test_changed_recipes_do_not_mix(store):
    recipe, changed = made.recipe_of(made.instant), made.recipe_of(made.falls_over)
    first = sweep(recipe, store).results
    assert store.other_versions(recipe) == 0
    assert store.results(changed) == []
    assert store.other_versions(changed) == 20
    assert len(sweep(changed, store).failed) == 1
    assert sweep(recipe, store).results == first


def test_failures_are_kept_with_their_reason_and_made_again_when_asked(store, monkeypatch):
    recipe = made.recipe_of(made.falls_over, 4)
    (failed,) = sweep(recipe, store).failed
    assert failed.trial.parameters == {"a": 2}
    assert failed.status == "failed"
    assert re.fullmatch(r"ArithmeticError: two is too much \(experiments.py, line \d+\)", failed.reason)
    states = []
    assert sweep(recipe, store, callback=states.append).failed == [failed]
    assert states == []
    (again,) = sweep(recipe, store, retry=True, callback=states.append).failed
    assert len(states) == 1
    assert again.reason == failed.reason
    assert store.record(recipe, Result(failed.trial, {"value": 2}))
    assert not sweep(recipe, store, retry=True).failed
    assert not store.record(recipe, Result(failed.trial, reason="later")), "a success was overwritten"
    assert not sweep(recipe, store).failed


def test_a_stopped_sweep_goes_on(store):
    import threading

    recipe, stop = made.recipe_of(count=12), threading.Event()
    outcome = sweep(recipe, store, stop=stop, callback=lambda state: stop.set() if state["computed"] == 5 else None)
    assert not outcome.complete
    assert len(outcome.results) == 5
    assert store.select("SELECT count(*) FROM claims") == [(0,)]
    assert sweep(recipe, store).complete


def test_an_error_of_the_watcher_ends_the_sweep_and_frees_its_claims(store):
    def watch(state):
        if state["computed"] == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sweep(made.recipe_of(), store, executor=Processes(2), callback=watch)
    assert len(store.results(made.recipe_of())) == 3
    assert store.select("SELECT count(*) FROM claims") == [(0,)]
