"""Folders of completions of every version are read, and newer ones are refused."""

import json
import shutil

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.spark import SparkCompletion
from tests.release.kept_files import EXPECTED, FORMATS, ON_SPARK

KIND = FORMATS[ON_SPARK]


@pytest.mark.slow
@pytest.mark.parametrize("version", range(1, KIND.version + 1))
def test_folders_of_every_version_are_read(spark, version):
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))[KIND.file(version).name]
    np.testing.assert_allclose(KIND.read(KIND.file(version)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_folder_of_a_newer_version_is_refused_by_one_sentence(spark, tmp_path):
    from pyarrow import parquet

    folder = tmp_path / "newer"
    shutil.copytree(KIND.file(1), folder)
    (part,) = (folder / "about").glob("*.parquet")
    table = parquet.read_table(part)
    about = json.loads(table["description"][0].as_py()) | {"format_version": 99}
    parquet.write_table(table.set_column(0, "description", [[json.dumps(about)]]), part)
    for checksum in folder.glob("*/.*.crc"):
        checksum.unlink()
    with pytest.raises(InputError, match="has format version 99, newer than 1, the newest that is read here"):
        SparkCompletion.load(folder)
