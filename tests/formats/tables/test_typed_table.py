import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.tables import Reading, Role, read_typed_table

MESSY = "who,day,a,b,\nann,2020-01-01,1,2,\nbob,2020-01-02,?,4,\ncid,NA,5,-999,\n,,,,\n"


@pytest.fixture
def read(tmp_path):
    def read(text, name="t.csv", **reading):
        (tmp_path / name).write_text(text)
        return read_typed_table(tmp_path / name, Reading(**reading))

    return read


def roles(table):
    return {column.name: column.role.value for column in table.columns}


def test_numbers_are_fitted_and_everything_else_is_carried_along(read, tmp_path):
    table = read(MESSY, missing=["?", "-999"])
    assert roles(table) == {"who": "carried", "day": "carried", "a": "fitted", "b": "fitted", "4": "carried"}
    assert (table.n_rows, table.labels, table.holes_left) == (3, ["ann", "bob", "cid"], 1)
    np.testing.assert_equal(table.matrix, [[1, 2], [np.nan, 4], [5, np.nan]])
    assert table.write(tmp_path / "out", np.full((3, 2), 7.5)).read_text() == (
        "who,day,a,b,\nann,2020-01-01,1,2,\nbob,2020-01-02,7.5,4,\ncid,NA,5,7.5,\n,,,,\n"
    )


def test_marks_are_never_guessed(read):
    with pytest.raises(InputError, match=r"column 'a' contains '\?' \(first in row 3\).*pass --missing '\?'"):
        read(MESSY)
    assert "--missing -999" in read("a,b\n1,2\n3,-999\n4,5\n6,6\n").notes[0]


def test_the_options_give_roles(read):
    table = read("key,a,b\n5,1,1\n6,?,2\n7,,3\n", index="key", ignore=["a"])
    assert roles(table) == {"key": "index", "a": "ignored", "b": "fitted"}
    assert (table.labels, table.holes_left) == (["5", "6", "7"], 1)


def test_a_first_column_without_a_name_has_labels(read):
    table = read(",a\n10,1\n20,2\n")
    assert (roles(table), table.labels) == ({"0": "index", "a": "fitted"}, ["10", "20"])


def test_repeated_and_empty_names_become_different(read):
    assert list(roles(read("a,,a,a.1\n1,2,3,4\n"))) == ["a", "1", "a.2", "a.1"]


def test_a_table_without_header_is_read_by_position(read):
    assert roles(read("1,2\n3,\n")) == {"0": "fitted", "1": "fitted"}


def test_whole_numbers_are_marked(read):
    table = read("a,b,c\n1,1.5,\n,2,\n")
    assert [column.is_whole for column in table.columns] == [True, False, False]
    assert table.columns[2].reason == "no number"
    assert table.holes_left == 2


def test_rows_without_any_number_are_filled_unless_they_end_the_file(read):
    table = read("a,b\n,\n1,2\n,\n")
    np.testing.assert_equal(table.matrix, [[np.nan, np.nan], [1, 2]])


def test_a_model_decides_which_columns_are_fitted(read):
    table = read("c,b,a\n1,2,\n3,4,\n", fitted=["a", "b"])
    assert roles(table) == {"c": "carried", "b": "fitted", "a": "fitted"}
    with pytest.raises(InputError, match="the model needs the column 'd', found 'c'"):
        read("c,b\n1,2\n", fitted=["d"])


@pytest.mark.parametrize(
    ("text", "reading", "part"),
    [
        ("a,b\n1,2\n", {"index": "A"}, "--index names the column 'A', found 'a', 'b'"),
        ("height,b\n1,2\n", {"ignore": ["heigth"]}, "did you mean 'height'"),
        ("ID,b\n1,2\n", {"ignore": ["id"]}, "did you mean 'ID'"),
        ("a,b\nx,y\n", {}, "no numeric column"),
        ("a,b\nx,-\nx,1\nx,-\n", {}, "no numeric column to fill, .*pass --missing -"),
        ("a,b\n1,2\n", {"ignore": ["a", "b"]}, "no numeric column"),
        ("a b\nx 2 3\n", {}, "no comma, .* or space separates columns"),
        ("a,b\n1,1\n?,2\n3,3\n4,-999\n", {}, "--missing '\\?'; .*; column 'b' has -999 in one cell"),
        ("a,b\n1,2\n3\n", {}, "row 3 has 1 cell, expected 2"),
        ("a,b\n1,inf\n2,3\n", {}, "contains 'inf'"),
        ("a,b\n", {}, "no numeric column"),
        ("", {}, "is empty"),
    ],
)
def test_faults_are_one_sentence(read, text, reading, part):
    with pytest.raises(InputError, match=part):
        read(text, **reading)


def test_other_endings_and_missing_files_are_errors(read, tmp_path):
    with pytest.raises(InputError, match=r"has the ending '.doc', expected one of \.csv, "):
        read("a\n1\n", "t.doc")
    with pytest.raises(InputError, match="does not exist"):
        read_typed_table(tmp_path / "none.csv", Reading())


def test_files_that_do_not_fit_in_memory_are_refused(read, monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 10.0)
    with pytest.raises(InputError, match=r"reading t\.csv would need about"):
        read("a,b\n1,2\n")


def test_roles_are_words():
    assert [role.value for role in Role] == ["fitted", "index", "carried", "ignored"]


def test_a_number_whose_square_overflows_is_refused_with_its_place(read):
    text = "a,b\n1,2\n-3e200,\n4,5\n"
    with pytest.raises(
        InputError, match=r"column 'a' has -3e\+200 in row 3, expected .* pass --missing -3e\+200, .*unit"
    ):
        read(text)
    assert np.isnan(read(text, missing=["-3e+200"]).matrix[1]).all()


def test_an_error_about_no_numeric_column_names_its_cause(read):
    with pytest.raises(InputError, match=r"no numeric column.*; --ignore leaves out 'a', 'b'$"):
        read("a,b,t\n1,2,x\n3,4,y\n", ignore=["a", "b", "t"])
    with pytest.raises(InputError, match=r"no comma, .* separates columns in all its rows; save it as CSV"):
        read("a/b\n1/2\n3/4\n")


def test_truth_values_are_mentioned(read):
    assert read("a,t\n1,TRUE\n2,FALSE\n3,\n").notes == [
        "column 't' has TRUE and FALSE, so it is carried along and not filled; write 1 and 0 to have it filled"
    ]
    assert read("a,t\n1,TRUE\n2,maybe\n").notes == []
