"""Evidence from one store or a directory of stores."""

import pytest

from flatmin.errors import InputError
from flatmin.lab import Result, Store, read_stores, recipes
from tests.lab.experiments import recipe_of


def keep(file, recipe, count, **metrics):
    trials = list(recipe.trials())[:count]
    with Store(file) as store:
        for trial in trials:
            store.record(recipe, Result(trial, metrics))
    return trials


def test_stores_of_a_directory_are_merged_and_repeated_trials_count_once(tmp_path):
    recipe = recipes.find("figure-3").quickly()
    keep(tmp_path / "a.db", recipe, 3, success=True)
    keep(tmp_path / "b.db", recipe, 5, success=False)
    found = read_stores(tmp_path)
    (evidence,) = found.evidence
    assert evidence.values("success").tolist() == [True] * 3 + [False] * 2
    assert found.provenance["figure-3"].repeated == 3


def test_unknown_recipes_and_other_versions_are_notes(tmp_path, monkeypatch):
    recipe = recipes.find("figure-3").quickly()
    keep(tmp_path / "a.db", recipe, 2, success=True)
    keep(tmp_path / "b.db", recipe_of(), 1)
    monkeypatch.setattr("flatmin.lab.runs.experiment.__version__", "0.0.0")
    keep(tmp_path / "c.db", recipes.find("depth").quickly(), 1)
    monkeypatch.undo()
    notes = " ".join(read_stores(tmp_path).notes)
    assert "1 trial of made is left out: no recipe of this name is known here" in notes


def test_a_place_without_trials_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="expected a store of sweeps or a directory of them"):
        read_stores(tmp_path / "none.db")
    with pytest.raises(InputError, match="has no store of sweeps"):
        read_stores(tmp_path)
    Store(tmp_path / "new.db").close()
    with pytest.raises(InputError, match="no trial is finished yet"):
        read_stores(tmp_path)
