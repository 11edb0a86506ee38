"""The store, and tables made of it."""

import csv
import math
import os
import re
import sqlite3
import sys
from dataclasses import replace

import pytest

from flatmin.errors import InputError
from flatmin.lab import Processes, Result, Serial, Store, export, sweep
from flatmin.lab.runs.export import rows
from flatmin.lab.runs.store import FORMAT
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


def test_processes_compute_elsewhere_at_the_same_time(store, tmp_path):
    recipe = made.recipe_of(made.meets, grid=[{"a": [1, 2, 3], "folder": [str(tmp_path)]}])
    outcome = sweep(recipe, store, executor=Processes(2))
    assert not outcome.failed
    assert os.getpid() not in {result.metrics["pid"] for result in outcome.results}


@pytest.mark.parametrize("place", [Serial(), Processes(2)], ids=["here", "processes"])
def test_cells_have_one_thread_of_linear_algebra_however_many_cores_there_are(store, place, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "8")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    outcome = sweep(made.recipe_of(made.threads, 2), store, executor=place)
    assert {result.metrics["blas"] for result in outcome.results} == {1}
    if not isinstance(place, Serial):  # where libraries that are loaded later look
        assert {result.metrics["omp"] for result in outcome.results} == {"1"}


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


def test_what_is_no_dict_of_plain_values_is_a_failure(store):
    for cell in (returns_a_list, returns_a_table):
        outcome = sweep(made.recipe_of(cell, 1), store)
        assert outcome.failed[0].reason.startswith("TypeError: the ")


def returns_a_list(parameters, seed):
    return [1]


def returns_a_table(parameters, seed):
    return {"x": [[1, 2]]}


def test_numbers_come_back_as_they_were(store):
    recipe = made.recipe_of(count=1)
    metrics = {"third": 1 / 3, "inf": math.inf, "nan": math.nan, "yes": True, "none": None, "word": "é", "whole": 2**60}
    store.record(recipe, Result(next(recipe.trials()), metrics, 0.1))
    (back,) = store.results(recipe)
    assert math.isnan(back.metrics.pop("nan"))
    assert back.metrics == {name: value for name, value in metrics.items() if name != "nan"}


def test_a_stopped_sweep_goes_on(store):
    import threading

    recipe, stop = made.recipe_of(count=12), threading.Event()
    outcome = sweep(recipe, store, stop=stop, callback=lambda state: stop.set() if state["made"] == 5 else None)
    assert not outcome.complete
    assert len(outcome.results) == 5
    assert store.select("SELECT count(*) FROM claims") == [(0,)]
    assert sweep(recipe, store).complete


def test_an_error_of_the_watcher_ends_the_sweep_and_frees_its_claims(store):
    def watch(state):
        if state["made"] == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sweep(made.recipe_of(), store, executor=Processes(2), callback=watch)
    assert len(store.results(made.recipe_of())) == 3
    assert store.select("SELECT count(*) FROM claims") == [(0,)]


def test_trials_of_another_state_of_the_source_are_counted(store):
    recipe = made.recipe_of(count=3)
    sweep(recipe, store)
    assert store.from_another_library(recipe) == 0
    with store.transaction() as database:
        database.execute("""UPDATE sessions SET facts = '{"library": "another"}'""")
    assert store.from_another_library(recipe) == 3


# What cannot be a store


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
    with pytest.raises(InputError, match=f"has format version 0, expected {FORMAT}"):
        Store(tmp_path / "other.db")


def test_a_later_format_is_refused(tmp_path):
    Store(tmp_path / "trials.db").close()
    with sqlite3.connect(tmp_path / "trials.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(InputError, match="has format version 99, expected 1"):
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
    assert 0 < len(kept) == told[-1]["made"] < 400
    assert store.select("PRAGMA integrity_check") == [("ok",)]
    assert sweep(recipe, store).complete


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be deleted elsewhere")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_is_deleted_in_the_middle_is_one_sentence(store, replaced):
    def watch(state):
        if state["made"] == 3:
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_pipe_or_a_device_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InputError, match="is no regular file, expected one or a new name"):
            Store(name)


# Tables


@pytest.fixture
def swept(store):
    recipe = replace(made.recipe_of(made.falls_over), grid=[{"a": [1, 2, 3]}], repetitions=2)
    return recipe, sweep(recipe, store).results


COLUMNS = ["recipe", "a", "repetition", "seed", "status", "reason", "value", "seconds"]


def test_csv_has_one_row_a_trial(swept, tmp_path):
    recipe, results = swept
    export(tmp_path / "out.csv", recipe, results)
    with (tmp_path / "out.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == COLUMNS
    assert [row["a"] for row in table] == ["1", "1", "2", "2", "3", "3"]
    assert [row["status"] for row in table] == ["done"] * 2 + ["failed"] * 2 + ["done"] * 2
    assert [row["value"] for row in table] == ["1", "1", "", "", "3", "3"]
    assert int(table[1]["seed"]) == results[1].trial.seed
    assert table[2]["reason"].startswith("ArithmeticError: two is too much")
    assert all(float(row["seconds"]) >= 0 for row in table)


def test_parquet_has_the_same_rows_with_their_kinds(swept, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    recipe, results = swept
    export(tmp_path / "out.parquet", recipe, results)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == COLUMNS
    assert table.to_pylist() == rows(recipe, results)
    assert [str(table.schema.field(name).type) for name in ("a", "seed", "reason", "seconds")] == [
        "int64",
        "int64",
        "string",
        "double",
    ]


def test_parquet_of_mixed_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    recipe = made.recipe_of(count=3)
    values = [{"x": 1, "y": 1}, {"x": 0.5, "y": "word"}, {"x": None, "y": True, "a": 5}]
    results = [Result(trial, metrics) for trial, metrics in zip(recipe.trials(), values, strict=True)]
    export(tmp_path / "out.parquet", recipe, results)
    table = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert table["x"] == [1.0, 0.5, None]
    assert table["y"] == ["1", "word", "True"]
    assert table["a_"] == [None, None, 5]


def test_without_pyarrow_one_sentence_says_what_to_install(swept, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InputError, match=re.escape("needs pyarrow, which is not installed: pip install 'flatmin[parquet]'")
    ):
        export(tmp_path / "out.parquet", *swept)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.txt", "has the ending '.txt', expected .csv or .parquet"),
        ("none/out.csv", "is no directory; make it first"),
        ("there.csv", "is a directory, expected a file"),
    ],
)
def test_where_no_table_can_be_written(swept, tmp_path, name, message):
    (tmp_path / "there.csv").mkdir()
    with pytest.raises(InputError, match=re.escape(message)):
        export(tmp_path / name, *swept)
