"""Triples: files, ids and frames that can be read, and the sentences about the others."""

import datetime

import numpy as np
import pytest
from pyarrow import table
from pyarrow.parquet import write_table

import flatmin as fm
from flatmin.spark import SparkCompletion
from flatmin.spark.triples import indexed, read

from .conftest import sample

SHAPE, REG = (70, 50), 0.3


I, J, VALUES = sample(SHAPE)


ROW_IDS, COLUMN_IDS = np.array([f"user {27 * i % 70:02d}" for i in range(70)]), 1000 - 3 * np.arange(50)


@pytest.fixture(scope="module")
def frame(spark):
    """The triples with ids of two kinds."""
    rows = zip(ROW_IDS[I].tolist(), COLUMN_IDS[J].tolist(), VALUES.tolist(), strict=True)
    return spark.createDataFrame(list(rows), "user string, item long, stars double").cache()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_are_read_by_their_names(spark, frame, tmp_path, kind):
    path = tmp_path / f"stars.{kind}"
    getattr(frame.selectExpr("stars AS `how.many`", "user", "item", "1 AS week").write, kind)(
        str(path), **({"header": True} if kind == "csv" else {})
    )
    names = ["user", "item", "how.many"]
    triples = indexed(read(spark, path, names))
    assert np.array_equal(triples.row_ids, np.sort(ROW_IDS))
    assert np.array_equal(triples.column_ids, np.sort(COLUMN_IDS))
    found = sorted((triples.row_ids[i], triples.column_ids[j], v) for i, j, v in triples.frame.collect())
    assert found == sorted(zip(ROW_IDS[I], COLUMN_IDS[J], VALUES, strict=True))
    triples.frame.unpersist()
    with pytest.raises(fm.InputError, match=r"the columns are how.many, user, item, week, expected the names of three"):
        SparkCompletion.fit(path, alpha=REG)
    with pytest.raises(fm.InputError, match=r"there is no column 'movie', expected three of how.many, user"):
        SparkCompletion.fit(path, ["user", "movie", "how.many"], alpha=REG)


IDS_IN_TEXT = {
    "whole numbers": (["1", "-20", "3"], [-20, 1, 3]),
    "leading zeros": (["01", "1", "2"], ["01", "1", "2"]),
    "signs": (["+1", "1", "2"], ["+1", "1", "2"]),
    "decimals": (["1.5", "-2.0", "0.25"], [-2.0, 0.25, 1.5]),
    "two spellings": (["1.50", "1.5", "2.0"], ["1.5", "1.50", "2.0"]),
    "too large": (["9007199254740993", "92233720368547758070", "1"], ["1", "9007199254740993", "92233720368547758070"]),
    "dates": (["2020-02-03", "2019-12-31", "2020-02-04"], ["2019-12-31", "2020-02-03", "2020-02-04"]),
    "names": (["ann", "1", "true"], ["1", "ann", "true"]),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", IDS_IN_TEXT)
def test_ids_in_text_are_merged_by_no_reading(spark, tmp_path, kind):
    written, ids = IDS_IN_TEXT[kind]
    path = tmp_path / "ids.csv"
    path.write_text("\n".join(["u,f,r", *(f"{name},x,{k}.5" for k, name in enumerate(written))]) + "\n")
    rows = read(spark, path).collect()
    kinds = {"dates": datetime.date.fromisoformat}.get(kind, type(ids[0]))
    assert sorted(row["row"] for row in rows) == [kinds(name) for name in ids]
    assert all(type(row["row"]) is type(kinds(ids[0])) for row in rows)
    assert sorted(row.value for row in rows) == [0.5, 1.5, 2.5]


BAD = {
    "1 triples have no id of a row": ("string, long, double", [(None, 1, 1.0), ("a", 1, 1.0)]),
    "2 triples have no id of a column": ("long, double, float", [(1, float("nan"), 1.0), (1, None, 1.0)]),
    "the values contain NaN": ("long, long, double", [(1, 1, float("nan")), (1, 2, 1.0)]),
    "numbers beyond those of 32 bits": ("long, long, double", [(1, 1, 1e39), (1, 2, 1.0)]),
    "there are no triples": ("long, long, double", []),
    "column 'v' holds string, expected numbers": ("long, long, string", [(1, 1, "good")]),
    "column 'r' holds array, expected ids": ("array<int>, long, double", [([1], 1, 1.0)]),
}


@pytest.mark.parametrize("sentence", BAD)
def test_triples_that_cannot_be_used(spark, sentence):
    kinds, rows = BAD[sentence]
    schema = ", ".join(f"{name} {kind}" for name, kind in zip("rcv", kinds.split(", "), strict=True))
    with pytest.raises(fm.InputError, match=sentence):
        SparkCompletion.fit(spark.createDataFrame(rows, schema), alpha=0.1)


FILES = {
    "Malformed CSV record: 1,3 ": "u,f,r\n1,2,3.5\n1,3\n2,2,4\n",
    "Malformed CSV record: 1,3,4,5 ": "u,f,r\n1,2,3.5\n1,3,4,5\n",
    "Malformed CSV record: 1,3,1 ": "u,f,r,week\n1,2,3.5,1\n1,3,1\n",
    "begins with 1, 2, 3.5, expected a line of names above the triples$": "1,2,3.5\n1,3,3\n",
    "is empty, expected a line of names and triples below it$": "",
    "^there are no triples, expected at least one$": "u,f,r\n",
    "^column 'r' holds 'good', expected numbers$": "u,f,r\n1,2,3\n1,3,good\n",
    "^1 triples have no id of a row": "u,f,r\n1,2,3\n,3,4\n",
    "^the values contain NaN, nothing": "u,f,r\n1,2,3\n1,3,\n",
    "^there is no column 'u', expected three of u0, u1, r": "u,u,r\n1,2,3\n",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sentence", FILES)
def test_text_that_cannot_be_read(spark, tmp_path, sentence):
    path = tmp_path / "some.csv"
    path.write_text(FILES[sentence])
    names = ["u", "f", "r"] if "week" in FILES[sentence] or "u,u" in FILES[sentence] else None
    with pytest.raises(fm.InputError, match=sentence) as caught:
        SparkCompletion.fit(path, names, alpha=0.1)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(spark, tmp_path):
    with pytest.raises(fm.InputError, match="cannot be read, expected a CSV file with a line of names, or Parquet"):
        SparkCompletion.fit(str(tmp_path / "none.parquet"), alpha=0.1)
    (tmp_path / "wrong.parquet").write_text("no parquet")
    with pytest.raises(fm.InputError, match="cannot be read"):
        SparkCompletion.fit(tmp_path / "wrong.parquet", alpha=0.1)
    path = tmp_path / "rotten.parquet"
    write_table(table({"u": np.arange(9), "f": np.arange(9), "r": np.ones(9)}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36  # a page, below a footer that is whole
    path.write_bytes(content)
    with pytest.raises(fm.InputError, match=r"rotten\.parquet cannot be read, .*xception: [^\n]*$"):
        SparkCompletion.fit(path, alpha=0.1)


def test_frames_that_cannot_be_read(spark, tmp_path):
    (tmp_path / "short.csv").write_text("u,f,r\n1,2,3.5\n1,3\n")
    lazy = spark.read.csv(str(tmp_path / "short.csv"), header=True, schema="u int, f int, r double", mode="FAILFAST")
    with pytest.raises(fm.InputError, match=r"^the DataFrame cannot be read, .*Malformed CSV record: 1,3 [^\n]*$"):
        SparkCompletion.fit(lazy, alpha=0.1)


@pytest.mark.parametrize(
    ("columns", "names", "sentence"),
    [
        ("u, f, r", ["u", "u", "r"], "the columns are u, u, r, expected three different ones"),
        ("u, f, r", ["u", "f", "u"], "the columns are u, f, u, expected three different ones"),
        ("u, f, r", "ufr", "the names of columns are 'ufr', expected a list of three"),
        ("u, u, r", None, "the columns are u, u, r, expected three different ones"),
        ("u, U, r", None, "the DataFrame cannot be read, .* ambiguous"),
    ],
)
def test_names_of_columns_that_cannot_be_meant(spark, columns, names, sentence):
    schema = ", ".join(f"{name} double" for name in columns.split(", "))
    with pytest.raises(fm.InputError, match=f"^{sentence}"):
        SparkCompletion.fit(spark.createDataFrame([(1.0, 2.0, 3.0)], schema), names, alpha=0.1)
