"""The folder of a completion is replaced as a whole, and parts of two completions are refused."""

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.spark import stored_factors as module
from flatmin.spark.stored_factors import read_factors, write_factors

IDS = np.array(["a", "b", "c"]), np.array([10, 20])


def sides(seed):
    rng = np.random.default_rng(seed)
    return tuple((ids, rng.standard_normal((len(ids), 2))) for ids in IDS)


def same(found, seed):
    expected, facts = sides(seed), {"seed": seed}
    return found[1] == facts and all(
        np.array_equal(mine, other)
        for one, two in zip(found[0], expected, strict=True)
        for mine, other in zip(one, two, strict=True)
    )


class Interrupted(BaseException):
    """Stands for the end of the process."""


@contextmanager
def interrupted():
    """Let Spark stop before it writes the second part."""
    from pyspark.sql.readwriter import DataFrameWriter

    honest = DataFrameWriter.parquet

    def stopping(self, path, *arguments, **options):
        if path.endswith("/columns"):
            raise Interrupted
        return honest(self, path, *arguments, **options)

    with patch.object(DataFrameWriter, "parquet", stopping), pytest.raises(Interrupted):
        yield


@pytest.mark.slow
def test_a_folder_is_replaced_as_a_whole(spark, tmp_path, monkeypatch):
    """Its path is relative, with a space and a letter beyond ASCII; the second write is interrupted."""
    monkeypatch.chdir(tmp_path)
    write_factors("mein Mödell", sides(0), {"seed": np.int64(0)}, overwrite=False)
    with interrupted():
        write_factors("mein Mödell", sides(1), {"seed": 1}, overwrite=True)
    assert same(read_factors(tmp_path / "mein Mödell"), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["mein Mödell"]
    write_factors(f"file:{tmp_path}/mein Mödell", sides(1), {"seed": 1}, overwrite=True)
    assert same(read_factors("mein Mödell"), 1)


@pytest.mark.slow
def test_parts_of_two_completions_are_refused_where_a_folder_cannot_be_replaced_as_a_whole(spark, tmp_path):
    with patch.object(module, "_local", lambda spark, path: None):
        write_factors(tmp_path / "m", sides(0), {"seed": 0}, overwrite=False)
        assert same(read_factors(tmp_path / "m"), 0)
        with interrupted():
            write_factors(tmp_path / "m", sides(1), {"seed": 1}, overwrite=True)
        with pytest.raises(InputError, match="has parts of two completions, expected one that was written to its end"):
            read_factors(tmp_path / "m")


def test_a_folder_with_other_files_is_not_replaced(spark, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for overwrite, cause in ((False, "it exists"), (True, "it also has mine.txt")):
        with pytest.raises(InputError, match=f"cannot be written, expected a new folder or overwrite=True: {cause}"):
            write_factors(tmp_path, sides(0), {}, overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
