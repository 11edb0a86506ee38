"""Proofs that trials kept: written out, and checked without anything but Python."""

import json
from dataclasses import replace

import pytest

from flatmin.errors import InputError
from flatmin.lab import Result, Store, recipes, sweep
from flatmin.lab.kept_proofs import check_proofs, write_proofs
from flatmin.proofs.exact.theorems import sealed
from tests.lab import experiments as made

#: Two cells whose draws are theorems, and one without a proof.
CELLS = [
    {"panel": ["completion"], "d": [8], "m": [60]},
    {"panel": ["covariance"], "d": [6], "m": [21]},
    {"panel": ["gaussian"], "d": [6], "m": [10]},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a store of theorems, and one of trials without files."""
    folder = tmp_path_factory.mktemp("stores")
    recipe = replace(recipes.find("theorems"), grid=CELLS, repetitions=1)
    with Store(folder / "theorems.db") as store:
        assert not sweep(recipe, store).failed
    with Store(folder / "others.db") as store:
        sweep(made.recipe_of(count=1), store)
    return folder


def test_every_proof_is_written_and_holds(place, tmp_path):
    before = (place / "theorems.db").read_bytes()
    folders = write_proofs(place, tmp_path)
    assert sorted(path.name[6:] for path in folders) == ["theorems-6-21-covariance", "theorems-8-60-completion"]
    assert sorted(tmp_path.iterdir()) == sorted(folders)
    checked = list(check_proofs(folders, 2))
    assert [verdict.name for verdict in checked] == [path.name for path in folders]
    assert all(verdict.refusal is None and verdict.statements[-1] == "T" for verdict in checked)
    assert (place / "theorems.db").read_bytes() == before


def test_changed_proofs_and_changed_data_are_refused(place, tmp_path):
    first, second = write_proofs(place / "theorems.db", tmp_path)
    document = json.loads((first / "proof.json").read_text())
    del document["seal"]
    claims = document["statements"]
    claims[0]["lower"] = str(float(claims[0]["lower"]) * 1.01)
    (first / "proof.json").write_text(sealed(document))
    (second / "instance.npz").write_bytes((first / "instance.npz").read_bytes())
    stronger, exchanged = check_proofs([first, second])
    assert "statement V fails: lower is claimed to be" in stronger.refusal
    assert "the proof is about another instance" in exchanged.refusal
    assert stronger.statements == exchanged.statements == ()


def test_a_file_that_is_no_proof_is_refused(place, tmp_path):
    first, _ = write_proofs(place, tmp_path)
    (first / "proof.json").write_text("nothing")
    (verdict,) = check_proofs([first])
    assert verdict.refusal.startswith("Refused: ")


def test_a_checker_that_does_not_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"did not run: the check was not finished: .*No such file.*proof\.json"):
        list(check_proofs([tmp_path]))


def test_names_of_directories_stay_inside(tmp_path):
    recipe = made.recipe_of(grid=[{"a": ["../é b"]}])
    with Store(tmp_path / "trials.db") as store:
        files = {"proof.json": b"{}", "instance.npz": b""}
        store.record(recipe, Result(next(recipe.trials()), files))
    (folder,) = write_proofs(tmp_path / "trials.db", tmp_path)
    assert folder == tmp_path / "00001-made-..___b"
    with pytest.raises(InputError, match="there is no"):
        write_proofs(tmp_path / "none.db", tmp_path)
