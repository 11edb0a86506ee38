"""The store of a race in progress: taken over, kept when interrupted, and never in the place of other files."""

import json

import pytest

from flatmin.cli.race.runs import STORE, kept_runs
from flatmin.errors import InputError
from flatmin.lab import Store, sweep
from tests.lab.experiments import recipe_of


def finished(file, count):
    """Write a store with some finished trials."""
    with Store(file) as store:
        sweep(recipe_of(count=count), store)


def former_results(target, digest):
    """Write the results of a former race of three runs."""
    target.mkdir()
    finished(target / STORE, 3)
    (target / "summary.json").write_text(json.dumps({"format_version": 1, "protocol": {"digest": digest}}))


def test_a_finished_race_leaves_no_store_beside_its_results(tmp_path):
    with kept_runs(tmp_path / "race") as runs:
        finished(runs.file, 2)
        assert runs.n_new == 2
        (tmp_path / "copy").mkdir()
        runs.copy(tmp_path / "copy")
    assert (tmp_path / "copy" / STORE).stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("wanted", [True, False])
def test_an_interrupted_race_keeps_its_runs_and_says_so_if_wanted(tmp_path, capsys, wanted):
    def interrupted_race():
        with kept_runs(tmp_path / "race", wanted) as runs:
            finished(runs.file, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_race()
    assert ("2 runs are kept in" in capsys.readouterr().err) == wanted
    with kept_runs(tmp_path / "race") as runs:
        assert runs.n_new == 2


def test_a_race_that_is_interrupted_before_its_first_run_leaves_nothing(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt), kept_runs(tmp_path / "new" / "race"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digest", ["same", "other"])
def test_runs_of_a_former_race_are_taken_over_if_its_task_is_the_same(tmp_path, digest):
    former_results(tmp_path / "race", "same")
    with kept_runs(tmp_path / "race") as runs:
        runs.take_over(digest)
        assert (runs.n_former, runs.n_new) == (3 if digest == "same" else 0, 0)
        assert runs.file.exists() == (digest == "same")


def test_damaged_results_are_not_taken_over(tmp_path):
    former_results(tmp_path / "race", "same")
    (tmp_path / "race" / "summary.json").write_text("{")
    with kept_runs(tmp_path / "race") as runs:
        runs.take_over("same")
        assert runs.n_former == 0


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("race.partial/letter.txt", "does not hold the runs of an interrupted race"),
        ("race.partial", "does not hold the runs of an interrupted race"),
        ("race/runs/1.json", "holds runs in a former format"),
    ],
)
def test_other_files_are_left_alone(tmp_path, place, message):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    with pytest.raises(InputError, match=message), kept_runs(tmp_path / "race"):
        pass
    assert file.read_text() == "mine"
