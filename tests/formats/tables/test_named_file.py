import pytest

from flatmin import InputError
from flatmin.formats.tables.named_file import NamedFile


def test_names_are_distinct_and_found(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,x,,day\n1,2,3,4\n")
    named = NamedFile.read(path, None, "the table")
    assert named.names == ["x", "x.1", "2", "day"]
    assert named.position("--row", "day") == 3
    with pytest.raises(InputError, match=r"--row names the column 'dai', found 'x', .*; did you mean 'day'\?"):
        named.position("--row", "dai")


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "t.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"the --predict .*t\.png has the ending '\.png', expected one of \.csv"):
        NamedFile.read(tmp_path / "t.png", None, "the --predict")
