import pytest

from flatmin.formats.delimited import plain_number
from flatmin.formats.tables.suspicions import about_marks, about_numbering, about_text, counted_marks, unreadable
from flatmin.formats.tables.table_column import ColumnCells, Marks


def cells(texts):
    return ColumnCells.read(texts, plain_number, Marks())


def numbers(name, *values):
    found = cells([str(value) for value in values])
    return [*about_marks({name: counted_marks(found)}), *about_numbering(name, found)]


def test_a_mark_in_several_columns_is_told_once():
    columns = {name: counted_marks(cells(["3", "-999", "8", "-999", "4"])) for name in ("a", "b", "c")}
    assert list(about_marks(columns)) == [
        "3 columns, such as 'a', have -999 in 6 cells and count it as a number; "
        "if it marks missing cells, pass --missing -999"
    ]


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        ([3, 5, -999, 8, 4], "--missing -999"),
        ([3, 5, 9999, 9999, 4], "--missing 9999"),
        ([0.3, 0.5, -1, 0.4], "--missing -1"),
        ([-5000, 3000, -999, 20], "--missing -999"),
        ([-5, -99, 40, -40, 30], ""),
        ([97, 98, 99, 99], ""),
        ([0, 1, -999, 1], "--missing -999"),
        ([0, 1, 999, 1], ""),
        ([-9, 3], ""),
        ([1, 2, 9.969209968386869e36, 3], "--missing 9.969209968386869e+36"),
        ([1e31, 2e31, 3e31], ""),
    ],
)
def test_a_number_far_from_the_others_is_offered_as_a_mark(values, mark):
    found = numbers("a", *values)
    assert (mark in found[0]) if mark else not found


def test_all_marks_of_a_column_are_offered():
    assert [line.split("--missing ")[1] for line in numbers("a", 1, 2, 3, -999, -99, 2.5)] == ["-999", "-99"]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("Year", [1990, 1992, 1991], "a year"),
        ("t", range(1990, 2010), "a year"),
        ("patient_id", [12, 7, 99], "an identifier"),
        ("customerID", [12, 7, 99], "an identifier"),
        ("x", range(1, 30), "an identifier"),
        ("x", [5, 3, 9, 1, 7, 2, 11, 13, 17, 8, 6, 4], ""),
        ("x", [0.5 + i for i in range(30)], ""),
        ("width", [12, 7, 7], ""),
        ("grid", [1, 2, 4], ""),
    ],
)
def test_identifiers_and_years_are_named_with_the_option_that_leaves_them_out(name, values, kind):
    found = numbers(name, *values)
    assert (kind in found[0] and f"--ignore {name}" in found[0]) if kind else not found


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["12 %", "3.5%", ""], "percent signs, such as '12 %'"),
        (["$1,200", "$3"], "currency signs"),
        (["1,200", "3,400", "5"], "thousands separators"),
        (["1.200,5", "3"], "thousands separators"),
        (["1,5", "2,25"], "decimal commas"),
        (["\u22121.5", "\u22122,5", "3"], "typographic minus signs"),
        (["\u2013", "1", "\u2013", "\u2013"], "pass --missing '\u2013'"),
        (["-", "1", "-", "-"], "pass --missing -"),
        (["red", "blue"], ""),
        (["2020-01-02", "2020-01-03"], ""),
        (["a1", "b2", "c3", "d4", "e5", "1"], ""),
    ],
)
def test_numbers_in_another_notation_are_named(texts, part):
    found = list(about_text("a", cells(texts)))
    assert (part in found[0]) if part else not found


def test_text_among_numbers_is_an_error_that_names_the_option():
    text = unreadable({"a": ("row 3", cells(["1", "?", "2"])), "b c": ("row 2", cells(["n d", "1", "12 %", "?"]))})
    assert "column 'a' contains '?' (first in row 3), column 'b c' contains 'n d', '12 %', '?' (first in row 2)" in text
    assert "write numbers without percent signs, and if other text marks missing cells, pass --missing '?' --m" in text
    assert "--missing '12 %'" not in text
    assert "--ignore a --ignore 'b c' leaves them as they are" in text


def test_numbers_in_another_notation_are_not_offered_as_missing_marks():
    text = unreadable({"a": ("row 3", cells(["1", "\u22122", "2"]))})
    assert "expected numbers; write numbers without typographic minus signs; --ignore a" in text
    assert "--missing" not in text
