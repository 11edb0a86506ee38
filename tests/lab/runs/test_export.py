"""Tables of results as CSV and Parquet."""

import csv
import re
import sys
from dataclasses import replace

import pytest

from flatmin.errors import InputError
from flatmin.lab import Result, Store, export, sweep
from flatmin.lab.runs.export import rows
from tests.lab import experiments as made


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "trials.db") as opened:
        yield opened


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
