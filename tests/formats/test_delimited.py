from pathlib import Path

import pytest

from flatmin.formats.delimited import DelimitedText, has_header, plain_number


def parsed(text):
    return DelimitedText.parse(text, Path("t.csv"))


@pytest.mark.parametrize(
    ("text", "decimal", "numbers"),
    [
        ("a,b\n1.5,2\n", ".", {"1.5": 1.5, "1,5": None}),
        ("a;b\n1,5;2\n", ",", {"1,5": 1.5, "1.5": 1.5, "1.500": None, "1.500,5": None}),
        ("a;b\n1,500;2\n", ",", {"1,500": 1.5}),
        ("a;b\n1.5;2,500\n", ".", {"1.5": 1.5, "2,500": None, "2,5": 2.5}),
        ("a\tb\n1,500\t2\n", ".", {"1,500": None}),
        ("a\tb\n1,50\t2\n", ",", {"1,50": 1.5, "1,500": 1.5}),
        ("a;b\n1,5;01.02.2003\n", ",", {"01.02.2003": None}),
    ],
)
def test_a_sign_that_may_separate_thousands_is_never_taken_for_the_decimal_sign(text, decimal, numbers):
    found = parsed(text)
    assert found.decimal == decimal
    assert {text: found.number(text) for text in numbers} == numbers


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n\n3,4",
        'a,"b, c"\r\n1,"2"\r\n',
        "\ufeffx\n1\n\n2\n",
        "1\t2\r3\t4\r",
        "\ufeff\n \na,b\n1,\n\n\n",
        "a\n1\n\n",
        "  a  b \n 1   2\n\n  3 NA  ",
        'a "b c"\r\n1  "2"\r\n',
        'a|"b|c"\n1| 2\n',
    ],
)
def test_a_text_is_joined_again_character_by_character(text):
    assert parsed(text).joined({}) == text


def test_spaces_separate_columns_if_nothing_else_does_and_all_rows_agree():
    spaced = parsed(' a   "b c" d\n1 NA    3 \n\n  4  5 6')
    assert [line.texts for line in spaced.rows] == [["a", "b c", "d"], ["1", "NA", "3"], ["4", "5", "6"]]
    assert spaced.joined({0: {1: "2.5"}}) == ' a   "b c" d\n1 2.5    3 \n\n  4  5 6'
    assert parsed("x\nann lee\nbob\n").width == 1
    assert parsed("a b,c d\n1 2,3 4\n").delimiter == ","


def test_cells_are_replaced_by_row_of_data():
    assert parsed("\na,b\n1,\n\n,4\n").joined({0: {1: "2"}, 1: {0: "3"}}) == "\na,b\n1,2\n\n3,4\n"


def test_lines_without_quotes_are_split_like_lines_with_quotes():
    plain, quoted = parsed("a,b\r\n1,\n\n,4"), parsed('"a",b\r\n1,\n\n,4')
    assert [(line.number, line.texts, line.end) for line in plain.lines] == [
        (line.number, line.texts, line.end) for line in quoted.lines
    ]


def test_a_header_has_text_or_stands_above_labels():
    assert has_header(["a", "1"], ["2"], plain_number)
    assert has_header(["", "1990"], ["x"], plain_number)
    assert not has_header(["", "1990"], ["4"], plain_number)


def test_only_plain_texts_are_numbers():
    assert plain_number("1_000") is None
    assert plain_number("NA") != plain_number("NA")
    assert plain_number("-1e3") == -1000


def test_two_colons_separate_columns_if_nothing_else_does():
    assert [line.texts for line in parsed("1::a b::3\n2::c:d::4\n").rows] == [["1", "a b", "3"], ["2", "c:d", "4"]]
    assert [line.texts for line in parsed("a::b,1\nc,2\n").rows] == [["a::b", "1"], ["c", "2"]]
