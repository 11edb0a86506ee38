"""The store, and tables made of it."""

import math
import os
import sqlite3

import pytest

from flatmin.errors import InputError
from flatmin.lab import Processes, Result, Store, sweep
from flatmin.lab.runs.frozen_store import read_frozen
from flatmin.lab.runs.store import FORMAT
from tests.lab import experiments as made
from tests.systems import needs_posix


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "trials.db") as opened:
        yield opened


def test_numbers_come_back_as_they_were(store):
    recipe = made.recipe_of(count=1)
    metrics = {"third": 1 / 3, "inf": math.inf, "nan": math.nan, "yes": True, "none": None, "word": "é", "whole": 2**60}
    store.record(recipe, Result(next(recipe.trials()), metrics, 0.1))
    (back,) = store.results(recipe)
    assert math.isnan(back.metrics.pop("nan"))
    assert back.metrics == {name: value for name, value in metrics.items() if name != "nan"}


def test_trials_of_another_state_of_the_source_are_counted(store):
    recipe = made.recipe_of(count=3)
    sweep(recipe, store)
    assert store.from_another_library(recipe) == 0
    with store.transaction() as database:
        database.execute("""UPDATE sessions SET facts = '{"library": "another"}'""")
    assert store.from_another_library(recipe) == 3


def test_files_that_are_no_stores_stay_as_they_are(tmp_path):
    text, database = tmp_path / "text", tmp_path / "other.db"
    text.write_text("something else")
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE mine (x)")
        other.execute("PRAGMA application_id = 7")
    other.close()
    for file in (text, database):
        before = file.read_bytes()
        with pytest.raises(InputError, match="is no store of sweeps, expected one or a new name"):
            Store(file)
        assert file.read_bytes() == before
    with pytest.raises(InputError, match="is a directory"):
        Store(tmp_path)
    with pytest.raises(InputError, match="is no directory; make it first"):
        Store(tmp_path / "none" / "trials.db")


def test_another_programs_database_without_a_name_is_no_store(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(InputError, match=f"has format version 0, expected a whole number from 1 to {FORMAT}"):
        Store(tmp_path / "other.db")


def test_a_later_format_is_refused(tmp_path):
    Store(tmp_path / "trials.db").close()
    with sqlite3.connect(tmp_path / "trials.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(InputError, match="has format version 99, newer than 1"):
        Store(tmp_path / "trials.db")


def test_a_store_that_breaks_is_one_sentence(store):
    store.select("SELECT 1")
    with store.transaction() as database:
        database.execute("DROP TABLE trials")
    with pytest.raises(InputError, match="cannot be used: no such table"):
        sweep(made.recipe_of(), store, executor=Processes(2))


def test_a_full_disk_is_one_sentence_and_what_was_kept_stays(store):
    recipe = made.recipe_of(made.long_words, 400)
    (pages,) = store.select("PRAGMA page_count")[0]
    store.select(f"PRAGMA max_page_count = {pages + 20}")
    told = []
    with pytest.raises(InputError, match=r"the --store .*trials\.db cannot be used: database or disk is full"):
        sweep(recipe, store, callback=told.append)
    store.select("PRAGMA max_page_count = 1000000")
    kept = store.results(recipe)
    assert 0 < len(kept) == told[-1]["computed"] < 400
    assert store.select("PRAGMA integrity_check") == [("ok",)]
    assert sweep(recipe, store).complete


def fill_at_once(file, sessions):
    """Record a trial in a new store that has no space for it, with rows for so many processes."""
    recipe = made.recipe_of()
    with Store(file) as store:
        for pid in range(sessions):
            with store.transaction() as database:
                database.execute("INSERT INTO sessions VALUES (NULL, 'host', ?, 0, '{}')", (pid,))
        (pages,) = store.select("PRAGMA page_count")[0]
        store.select(f"PRAGMA max_page_count = {pages}")
        store.record(recipe, Result(next(recipe.trials()), {"file": bytes(10_000)}))


@pytest.mark.parametrize(("sessions", "left"), [(0, []), (1, []), (2, ["trials.db"])])
def test_a_store_on_a_disk_that_is_full_before_its_first_trial_is_deleted(tmp_path, sessions, left):
    """It stays if another process uses it too, and if it is not new."""
    with pytest.raises(InputError, match="database or disk is full"):
        fill_at_once(tmp_path / "trials.db", sessions)
    assert os.listdir(tmp_path) == left
    Store(tmp_path / "trials.db").close()
    with pytest.raises(InputError, match="database or disk is full"):
        fill_at_once(tmp_path / "trials.db", 0)
    assert os.listdir(tmp_path) == ["trials.db"]


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be deleted elsewhere")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_is_deleted_in_the_middle_is_one_sentence(store, replaced):
    def watch(state):
        if state["computed"] == 3:
            store.file.unlink()
            if replaced:
                store.file.touch()

    with pytest.raises(InputError, match=r"trials\.db was moved or deleted while in use, expected it to stay"):
        sweep(made.recipe_of(), store, callback=watch)


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "mit Leerzeichen, ümläut & 文.db", "%20#?.db"])
def test_any_name_is_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with Store(name) as store:
        sweep(made.recipe_of(count=3), store)
        monkeypatch.chdir("/")
        assert sweep(made.recipe_of(count=4), store).complete
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Store(name) as store:
        assert len(store.results(made.recipe_of())) == 4


@needs_posix
def test_a_pipe_or_a_device_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InputError, match="is no regular file, expected one or a new name"):
            Store(name)


def with_files(parameters, seed):
    return {"value": parameters["a"], "proof.json": b"{}", "data\x00": bytes(range(256))}


def test_bytes_are_files_of_their_trial_and_no_metrics(tmp_path):
    recipe = made.recipe_of(with_files, count=2)
    with Store(tmp_path / "trials.db") as store:
        assert list(store.files()) == []
        outcome = sweep(recipe, store)
        assert not outcome.failed
        assert [set(result.metrics) for result in outcome.results] == [{"value"}] * len(outcome.results)
        kept = list(store.files())
        again = Result(outcome.results[0].trial, {"proof.json": b"another"})
        assert not store.record(recipe, again)
        assert list(store.files()) == kept
    assert sorted(trial.key for _, trial, _ in kept) == sorted(result.trial.key for result in outcome.results)
    assert {name for name, _, _ in kept} == {recipe.name}
    assert all(files == {"proof.json": b"{}", "data\x00": bytes(range(256))} for _, _, files in kept)
    assert read_frozen(tmp_path / "trials.db", lambda frozen: list(frozen.files())) == kept


def test_a_failed_trial_that_succeeds_later_keeps_its_files(store):
    recipe = made.recipe_of(count=1)
    trial = next(recipe.trials())
    store.record(recipe, Result(trial, {}, 0.1, "ValueError: no"))
    assert list(store.files()) == []
    store.record(recipe, Result(trial, {"proof.json": b"{}"}))
    assert list(store.files()) == [(recipe.name, trial, {"proof.json": b"{}"})]


def test_a_store_without_the_table_of_files_is_read_and_gets_it(tmp_path):
    recipe = made.recipe_of(count=1)
    with Store(tmp_path / "old.db") as store:
        store.record(recipe, Result(next(recipe.trials()), {"value": 1}))
        with store.transaction() as database:
            database.execute("DROP TABLE files")
    assert read_frozen(tmp_path / "old.db", lambda frozen: list(frozen.files())) == []
    with Store(tmp_path / "old.db") as store:
        assert len(store.results(recipe)) == 1
        assert not store.record(recipe, Result(next(recipe.trials()), {"proof.json": b"{}"}))
        assert list(store.files()) == []
