"""Recipes: cells, seeds, versions, and files that change them."""

import importlib
import re
import sys
from dataclasses import replace

import pytest

from flatmin.errors import InputError
from flatmin.lab import Recipe, read_recipe, recipes
from flatmin.lab.runs.experiment import key_of
from flatmin.lab.runs.source import digest_of
from tests.lab import experiments as made

every_recipe = pytest.mark.parametrize("name", recipes.names())


@every_recipe
def test_every_recipe_says_what_it_claims_and_has_a_quick_version(name):
    recipe = recipes.find(name)
    assert recipe.name == name
    assert len(recipe.claim) > 40
    assert len(recipe.refuted_by) > 40
    quick = recipe.quickly()
    assert 0 < len(quick.cells) * quick.repetitions < 0.2 * len(recipe.cells) * recipe.repetitions
    assert quick.version == recipe.version


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


SOURCE = '''
"""A module."""
from flatmin.lab.recipes._recovery import RECOVERED

FACTOR = 2
UNUSED = 3


def helper(x):
    """Return something."""
    return FACTOR * x


def cell(parameters, seed):
    # a comment
    return {"value": helper(parameters["a"]) + RECOVERED}
'''


def digest(tmp_path, monkeypatch, text, name="cells_of_a_test"):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    return digest_of(module.cell)


def test_the_version_changes_with_what_the_cell_computes_and_with_nothing_else(tmp_path, monkeypatch):
    same = [
        SOURCE.replace("# a comment", "# another, longer comment"),
        SOURCE.replace("UNUSED = 3", "UNUSED = 4"),
        SOURCE.replace('"""Return something."""', '"""Return something else."""'),
        SOURCE.replace('    """Return something."""\n', ""),
        SOURCE + "\n\ndef other():\n    return FACTOR\n",
    ]
    other = [
        SOURCE.replace("FACTOR = 2", "FACTOR = 3"),
        SOURCE.replace("FACTOR * x", "FACTOR + x"),
        SOURCE.replace("import RECOVERED", "import HERMITIAN as RECOVERED"),
    ]
    usual = digest(tmp_path, monkeypatch, SOURCE)
    names = iter(range(100))
    assert {digest(tmp_path, monkeypatch, text, f"same_{next(names)}") for text in same} == {usual}
    assert len({usual} | {digest(tmp_path, monkeypatch, text, f"other_{next(names)}") for text in other}) == 4


def test_the_version_does_not_change_with_the_grid_but_with_the_cell():
    assert made.recipe_of(count=3).version == made.recipe_of(count=5, repetitions=7, seed=2).version
    assert made.recipe_of(made.instant).version != made.recipe_of(made.slow).version


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


def test_a_cell_without_a_name_is_refused():
    with pytest.raises(InputError, match="expected a function at the top level of a module"):
        _ = made.recipe_of(lambda parameters, seed: {}).version
    with pytest.raises(InputError, match="has no cell"):
        _ = made.recipe_of(resolve=lambda parameters: None).cells


def test_keys_do_not_depend_on_order():
    assert key_of({"a": 1, "b": "x"}) == key_of({"b": "x", "a": 1}) != key_of({"a": 1.5, "b": "x"})


# Files


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
    ],
)
def test_what_a_file_cannot_say_is_one_sentence(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        of_file(tmp_path, text)
    assert "recipe.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"there is no recipe 'none', expected one of .* or a \.toml file"):
        read_recipe("none")
