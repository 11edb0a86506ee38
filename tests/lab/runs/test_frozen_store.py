"""Stores that are opened for reading only."""

import sqlite3

import pytest

from flatmin.errors import InputError
from flatmin.lab import Result, Store
from flatmin.lab.runs.frozen_store import read_frozen
from tests.lab.experiments import recipe_of

RECIPE = recipe_of()


def record(store, index):
    store.record(RECIPE, Result(list(RECIPE.trials())[index], {"value": index}))


def test_reading_leaves_no_file_and_sees_what_an_open_writer_has_recorded(tmp_path):
    file = tmp_path / "trials.db"
    with Store(file) as store:
        record(store, 0)
    assert len(read_frozen(file, lambda store: store.results(RECIPE))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["trials.db"]
    with Store(file) as store:
        record(store, 1)
        assert len(read_frozen(file, lambda store: store.results(RECIPE))) == 2


def test_a_store_without_tables_has_nothing(tmp_path):
    file = tmp_path / "trials.db"
    file.touch()
    assert read_frozen(file, lambda store: store.results(RECIPE)) is None


def test_other_databases_and_later_formats_are_refused(tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE trials (a INTEGER)")
    with pytest.raises(InputError, match="is no store of sweeps"):
        read_frozen(other, lambda store: True)
    later = tmp_path / "later.db"
    Store(later).close()
    with sqlite3.connect(later) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(InputError, match="has format version 9, newer than 1"):
        read_frozen(later, lambda store: True)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("finished", "x"), ("finished", b"1"), ("seconds", "fast"), ("parameters", "{"), ("parameters", "[]")),
        *(
            ("finished", 1e20),
            ("finished", -1e12),
            ("metrics", "nothing"),
            ("metrics", "3"),
            ("repetition", 0.5),
            ("status", "lost"),
            ("reason", b"\xff"),
        ),
    ],
)
def test_values_of_other_types_than_a_sweep_writes_are_refused(tmp_path, column, value):
    file = tmp_path / "trials.db"
    with Store(file) as store:
        record(store, 0)
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE trials SET {column} = ?", (value,))
    database.close()
    with pytest.raises(InputError, match=r"has damaged trials \(1 of them\)|cannot be read: malformed JSON"):
        read_frozen(file, lambda store: store.results(RECIPE))
