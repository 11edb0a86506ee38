"""Recipes as TOML files."""

import re

import pytest

from flatmin.errors import InputError
from flatmin.lab import read_recipe, recipes


def of_file(tmp_path, text, **options):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    return read_recipe(str(file), **options)


def test_a_file_changes_repetitions_seed_and_values(tmp_path):
    recipe = of_file(tmp_path, 'recipe = "figure-3"\nrepetitions = 3\nseed = 5\n[grid]\nd = [9]\n')
    usual = recipes.find("figure-3")
    assert (recipe.repetitions, recipe.seed, recipe.version) == (3, 5, usual.version)
    assert {cell["d"] for cell in recipe.cells} == {9}
    assert {cell["panel"] for cell in recipe.cells} == {cell["panel"] for cell in usual.cells}


def test_a_file_chooses_cells(tmp_path):
    text = 'recipe = "figure-3"\n[only]\npanel = ["completion", "covariance"]\nmethod = ["flat"]\n'
    usual, recipe = recipes.find("figure-3"), of_file(tmp_path, text)
    chosen = [c for c in usual.cells if c["panel"] in ("completion", "covariance") and c["method"] == "flat"]
    assert list(recipe.cells) == chosen
    assert recipe.trial(chosen[0], 0).seed == usual.trial(chosen[0], 0).seed
    assert len(of_file(tmp_path, text, quick=True).cells) < len(chosen)


def test_a_file_gives_a_grid_of_its_own(tmp_path):
    block = '[[grid]]\npanel = ["sensing"]\nmethod = ["flat"]\nrank = [1]\n'
    recipe = of_file(tmp_path, f'recipe = "figure-3"\n{block}d = [5]\nm = [7, 8]\n{block}d = [6]\nmultiple = [2]\n')
    assert [(cell["d"], cell["m"]) for cell in recipe.cells] == [(5, 7), (5, 8), (6, 24)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe = 3", "does not say which recipe"),
        ("repetitions = 3", "does not say which recipe"),
        ('recipe = "figure-33"', "there is no recipe 'figure-33', expected one of"),
        ('recipe = "figure-3"\nrepeat = 3', "has the key 'repeat', expected one of recipe, repetitions"),
        ('recipe = "figure-3"\nrepetitions = "3"', "repetitions is '3', expected a whole number"),
        ('recipe = "figure-3"\nrepetitions = true', "repetitions is True, expected a whole number"),
        ('recipe = "figure-3"\ngrid.x = [3]', "there is no parameter 'x', expected one of panel"),
        ('recipe = "figure-3"\ngrid.d = 3', "d is 3, expected a list of values"),
        ('recipe = "figure-3"\ngrid.d = ["a"]', "d has the value 'a', expected int"),
        ('recipe = "figure-3"\ngrid.d = [2.5]', "d has the value 2.5, expected int"),
        ('recipe = "figure-3"\ngrid = 3', "found 3, expected a table"),
        ('recipe = "figure-3"\nonly.panel = ["none"]', "has no cell"),
        ("recipe = ", "is no TOML"),
        (f"seed = {'9' * 5000}", "is no TOML"),
        (f"grid = {'[' * 5000}", "is no TOML"),
        (f'recipe = "noise"\ngrid.noise = [0x{"f" * 400}]', "has the value"),
    ],
)
def test_what_a_file_cannot_say_is_one_sentence(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        of_file(tmp_path, text)
    assert "recipe.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"there is no recipe 'none', expected one of .* or a \.toml file"):
        read_recipe("none")
