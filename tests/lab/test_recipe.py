"""Recipes: their claims, and arguments that are refused."""

import re

import pytest

from flatmin.errors import InputError
from flatmin.lab import Experiment, Recipe, recipes
from flatmin.lab.runs.experiment import key_of
from tests.lab import experiments as made

every_recipe = pytest.mark.parametrize("name", recipes.names())


@every_recipe
def test_every_recipe_says_what_it_claims_and_has_a_quick_version(name):
    recipe = recipes.find(name)
    assert recipe.name == name
    assert len(recipe.claim) > 40
    assert len(recipe.refuted_by) > 40
    quick = recipe.quickly()
    smaller_cells = not {key_of(cell) for cell in quick.cells} & {key_of(cell) for cell in recipe.cells}
    share = len(quick.cells) * quick.repetitions / (len(recipe.cells) * recipe.repetitions)
    assert 0 < share <= 1 if smaller_cells else share < 0.2
    assert quick.version == recipe.version


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetitions": 0}, "repetitions is 0, expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1, expected a whole number of at least 0"),
        ({"grid": [{"a": []}]}, "the grid has a = [], expected a list of values"),
        ({"grid": [{"a": "xyz"}]}, "the grid has a = 'xyz', expected a list of values"),
        ({"grid": [{"a": [float("nan")]}]}, "the grid has a = nan, expected words"),
        ({"grid": [{"seed": [1]}]}, "a parameter is called 'seed', expected another name"),
        ({"about": "Title\n\nClaim: yes.\n"}, "says nothing after 'Refuted by:'"),
        ({"quick": {"cell": made.known}}, "quick has ['cell'], expected grid and repetitions"),
    ],
)
def test_what_is_no_recipe_is_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Recipe(**{"name": "x", "about": made.ABOUT, "cell": made.known, "grid": [{"a": [1]}]} | changes)


def test_a_recipe_from_outside_is_found_and_stays_unique():
    recipe = made.recipe_of()
    recipes.register(recipe)
    try:
        assert recipes.find("made") is recipe
        assert "made" in recipes.names()
        with pytest.raises(InputError, match="there already is a recipe 'made'"):
            recipes.register(recipe)
    finally:
        recipes.unregister("made")
    assert "made" not in recipes.names()


def test_an_experiment_without_claims_is_no_recipe():
    with pytest.raises(InputError, match="expected an instance of Recipe"):
        recipes.register(Experiment("plain", "An experiment", made.known, [{"a": [1]}]))
