from pathlib import Path

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.text_table import TextTable


def read(text: str, name: str = "t.csv") -> TextTable:
    return TextTable(text, Path(name))


def rewritten(tmp_path, text: str, filling: float = 7.0, name: str = "t.csv") -> str:
    table = read(text, name)
    return table.write(tmp_path / "out", np.full(table.cells.shape, filling)).read_bytes().decode()


@pytest.mark.parametrize(
    ("text", "matrix", "rows", "columns"),
    [
        ("1,2\n3,\n", [[1, 2], [3, None]], None, None),
        ("a,b\n1,2\n3,\n", [[1, 2], [3, None]], None, ["a", "b"]),
        (",a,b\nx,1,2\ny,,4\n", [[1, 2], [None, 4]], ["x", "y"], ["a", "b"]),
        ("name,a,b\nx,1,2\ny,,4\n", [[1, 2], [None, 4]], ["x", "y"], ["a", "b"]),
        (",a,b\n10,1,2\n20,,4\n", [[1, 2], [None, 4]], ["10", "20"], ["a", "b"]),
        (",1990,1991\nx,1,2\ny,,4\n", [[1, 2], [None, 4]], ["x", "y"], ["1990", "1991"]),
        ("country,1990,1991\nx,1,2\ny,,4\n", [[1, 2], [None, 4]], ["x", "y"], ["1990", "1991"]),
        (",0,1\n0,5,\n1,6,7\n", [[5, None], [6, 7]], ["0", "1"], ["0", "1"]),
        (",2\n3,4\n", [[None, 2], [3, 4]], None, None),
        ("id,kind,a\nx,p,1\ny,q,2\n", [[1], [2]], ["x p", "y q"], ["a"]),
        ("date,a\n2020-01-01,1\n2020-01-02,2\n", [[1], [2]], ["2020-01-01", "2020-01-02"], ["a"]),
        ("1,2\r\n3,NaN\r\n", [[1, 2], [3, None]], None, None),
        ("1,NA\nnan,-3e-1", [[1, None], [None, -0.3]], None, None),
        ("\ufeffa,b\n1,2\n", [[1, 2]], None, ["a", "b"]),
        ('"a, b","c"\n"1",2\n', [[1, 2]], None, ["a, b", "c"]),
        ('"say ""hi""",b\n1,2\n', [[1, 2]], None, ['say "hi"', "b"]),
        ('"two\nlines",b\n1,2\n', [[1, 2]], None, ["two\nlines", "b"]),
        ("a;b\n1,5;2\n;3\n", [[1.5, 2], [None, 3]], None, ["a", "b"]),
        ("a\tb\n1\t2\n\t3\n", [[1, 2], [None, 3]], None, ["a", "b"]),
        ("a\n1\n\n3\n", [[1], [None], [3]], None, ["a"]),
        ("\n1, 2 \n\n 3,4\n\n", [[1, 2], [3, 4]], None, None),
        ("a,b\n,1\n,2\n", [[None, 1], [None, 2]], None, ["a", "b"]),
    ],
)
def test_reading(text, matrix, rows, columns):
    table = read(text)
    np.testing.assert_equal(table.cells.dense(), np.array(matrix, dtype=float))
    assert table.row_labels == rows
    assert table.column_labels == columns
    assert table.kind == "table"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1.50,\n,2e0\n", "a,b\n1.50,7\n7,2e0\n"),
        ("\ufeff,a,b\r\nx,+1, \r\n\r\ny,NaN,4\r\n", "\ufeff,a,b\r\nx,+1,7\r\n\r\ny,7,4\r\n"),
        ('"a, b","c"\n"1.0",\n"",2', '"a, b","c"\n"1.0",7\n7,2'),
        ("a;b\n1,50;\n", "a;b\n1,50;7\n"),
        ("a\n1\n\n3\n", "a\n1\n7\n3\n"),
    ],
)
def test_writing_changes_holes_only(tmp_path, text, expected):
    assert rewritten(tmp_path, text) == expected


def test_fillings_have_twelve_digits_and_the_decimal_sign_of_the_file(tmp_path):
    assert rewritten(tmp_path, "1,\n", 1 / 3) == "1,0.333333333333\n"
    assert rewritten(tmp_path, "1,5;\n", 1 / 3) == "1,5;0,333333333333\n"
    assert rewritten(tmp_path, "1;\n", -0.0) == "1;0\n"


def test_all_numbers_can_be_replaced(tmp_path):
    table = read("name,a,b\nx,1.50,\ny,2,+3\n")
    path = table.write(tmp_path / "low-rank", np.array([[0.5, 1.0], [-2.0, 1 / 3]]), whole=True)
    assert path.read_text() == "name,a,b\nx,0.5,1\ny,-2,0.333333333333\n"
    assert table.write_errors(tmp_path / "sparse", np.eye(2)).read_text() == "name,a,b\nx,1,0\ny,0,1\n"


def test_a_tab_file_keeps_its_ending(tmp_path):
    table = read("1\t\n", "t.tsv")
    assert table.write(tmp_path / "out", np.ones((1, 2))).name == "out.tsv"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a,b\n1,2\n3,x\n", r"row 3, column 2 \('b'\) contains 'x'"),
        ("a,b\n1,2\nx,4\n", r"row 3, column 1 \('a'\) contains 'x'"),
        ('a,"two\nlines"\n1,2\n3,x\n', "row 4, column 2"),
        ("1,2\n1_000,2\n", "1_000"),
        ("1,2\n\n3\n", "row 3 has 1 cell, expected 2 as in row 1"),
        ("a,b\nr1,1,2\nr2,3,\n", "row 1 has 2 cells, .*no name, put a separator at the start of this row"),
        ("Title\na,b\n1,2\n", "row 1 has 1 cell, expected 2 as in row 2; delete lines above the table"),
        ("1;2;3\n3;4\n", "row 2 has 2 cells, expected 3"),
        ('1,2\n"3,4\n', "row 2"),
    ],
)
def test_faults_are_placed(text, part):
    with pytest.raises(InputError, match=part):
        read(text)
