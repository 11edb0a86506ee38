import datetime as dt
import sys
from decimal import Decimal

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.tables.parquet_file import ParquetFile

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def written(path, columns):
    parquet.write_table(pa.table(columns), path)
    return ParquetFile.read(path)


def test_types_are_kept(tmp_path):
    columns = {
        "n": pa.array([1, None, 3], pa.int32()),
        "x": pa.array([0.5, None, 1.5], pa.float32()),
        "d": pa.array([Decimal("1.25"), None, Decimal("2.50")], pa.decimal128(5, 2)),
        "t": pa.array(["1", "NA", "3"]),
        "day": pa.array([dt.date(2020, 1, 2), None, None]),
        "yes": pa.array([True, None, False]),
    }
    file = written(tmp_path / "t.parquet", columns)
    assert (file.names, file.n_rows) == (list(columns), 3)
    assert [file.is_typed(j) for j in range(6)] == [False, False, False, False, True, True]
    assert file.texts(0) == ["1", "", "3"]
    fill = np.array([np.nan, 2.0, np.nan])
    found = parquet.read_table(file.write(tmp_path / "completed", dict.fromkeys(range(4), fill)))
    assert found.schema == parquet.read_table(tmp_path / "t.parquet").schema
    assert [found.column(j).to_pylist() for j in range(4)] == [
        [1, 2, 3],
        [0.5, 2.0, 1.5],
        [Decimal("1.25"), Decimal("2.00"), Decimal("2.50")],
        ["1", "2", "3"],
    ]
    assert found.column("day").to_pylist() == [dt.date(2020, 1, 2), None, None]


def test_fractions_make_a_column_of_integers_double(tmp_path):
    file = written(tmp_path / "t.parquet", {"n": pa.array([1, None])})
    found = parquet.read_table(file.write(tmp_path / "completed", {0: np.array([np.nan, 1.5])}))
    assert found.column("n").to_pylist() == [1.0, 1.5]


def test_the_index_of_a_data_frame_is_known(tmp_path):
    assert written(tmp_path / "t.parquet", {"x": [1.0], "__index_level_0__": [5]}).index == 1


def test_other_files_are_errors(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        ParquetFile.read(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'flatmin\[parquet\]'"):
        ParquetFile.read(path)


def test_pandas_reads_integers_that_became_double(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": pandas.array([1, None, 3], dtype="Int64"), "x": [1.0, 2.0, 3.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    path = ParquetFile.read(tmp_path / "t.parquet").write(tmp_path / "out", {0: np.array([np.nan, 2.5, np.nan])})
    assert pandas.read_parquet(path)["n"].tolist() == [1.0, 2.5, 3.0]


def test_a_small_file_of_many_rows_is_refused_by_its_header(tmp_path, monkeypatch):
    parquet.write_table(pa.table({"x": pa.nulls(100_000, pa.float64())}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 1000
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1e6)
    with pytest.raises(InputError, match=r"reading t\.parquet would need about"):
        ParquetFile.read(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", ["dictionary", "string"])
def test_texts_that_would_not_fit_when_written_out_are_refused(tmp_path, monkeypatch, kind):
    """A thousand rows of one text of a thousand letters take a few kilobytes in the file, and a megabyte in memory."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array(["x" * 1000]))
    columns = {"a": column if kind == "dictionary" else column.cast(pa.string()), "b": pa.array(np.ones(1000))}
    path = tmp_path / "t.parquet"
    assert written(path, columns).texts(0)[-1] == "x" * 1000
    assert path.stat().st_size < 10_000
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1e6)
    with pytest.raises(InputError, match=r"reading t.parquet would need"):
        ParquetFile.read(path)
