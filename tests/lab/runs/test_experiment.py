"""Recipes: cells, seeds, versions, and files that change them."""

from dataclasses import replace

from flatmin.lab.runs.experiment import key_of
from tests.lab import experiments as made


def test_cells_are_all_combinations_each_once():
    recipe = made.recipe_of(grid=[{"a": [1, 2], "b": ["x", "y"]}, {"a": [2, 3], "b": ["y"]}])
    assert [(cell["a"], cell["b"]) for cell in recipe.cells] == [(1, "x"), (1, "y"), (2, "x"), (2, "y"), (3, "y")]


def test_combinations_may_stand_for_other_cells_or_for_none():
    def resolve(parameters):
        return None if parameters["a"] == 2 else {"a": parameters["a"] * 10}

    assert made.recipe_of(count=4, resolve=resolve).cells == ({"a": 0}, {"a": 10}, {"a": 30})


def test_trials_come_in_whole_repetitions_and_without_a_pattern():
    trials = list(made.recipe_of(count=30, repetitions=3).trials())
    assert [trial.repetition for trial in trials] == [0] * 30 + [1] * 30 + [2] * 30
    first = [trial.parameters["a"] for trial in trials[:30]]
    assert sorted(first) == list(range(30))
    assert first != sorted(first)
    assert len({trial.key for trial in trials}) == len({trial.seed for trial in trials}) == 90


def test_seeds_do_not_depend_on_paired_parameters_or_on_the_rest_of_the_grid():
    recipe = made.recipe_of(grid=[{"a": [1, 2], "method": ["x", "y"]}], paired=("method",))
    seeds = {(cell["a"], cell["method"]): recipe.trial(cell, 0).seed for cell in recipe.cells}
    assert seeds[1, "x"] == seeds[1, "y"] != seeds[2, "x"]
    larger = replace(recipe, grid=[{"method": ["x"], "a": [0, 1]}], repetitions=5)
    assert larger.trial({"method": "x", "a": 1}, 0).seed == seeds[1, "x"]
    assert replace(recipe, seed=1).trial({"a": 1, "method": "x"}, 0).seed != seeds[1, "x"]


def test_keys_do_not_depend_on_order():
    assert key_of({"m": 20, "d": 4}) == '{"d":4,"m":20}'
    assert key_of({"a": 1, "b": "x"}) == key_of({"b": "x", "a": 1}) != key_of({"a": 1.5, "b": "x"})
