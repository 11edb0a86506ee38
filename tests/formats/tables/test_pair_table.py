import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.tables import PairReading, read_pairs


@pytest.fixture
def read(tmp_path):
    def read(text, name="r.csv", encoding="utf-8", **reading):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return read_pairs(path, PairReading(**reading), "the table")

    return read


def test_ids_are_text_and_lines_without_a_part_are_left_out(read):
    text = "NUTZER;FILM;BEWERTUNG\nJörg;Das Boot;4,5\nÄnne;007;NA\n;Das Boot;3\nJörg;Das Boot;2\n?;x;1\n"
    found = read(text, encoding="latin-1", missing=("?",))
    assert found.names == ("NUTZER", "FILM", "BEWERTUNG")
    assert found.pairs.tolist() == [["Jörg", "Das Boot"]] * 2
    np.testing.assert_array_equal(found.values, [4.5, 2])
    assert (found.n_left_out, found.n_repeated) == (3, 1)
    assert "in r.csv, rows are 'NUTZER', columns 'FILM' and values 'BEWERTUNG'; --row" in found.notes[-1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("196\t242\t3\t881250949\n186\t302\t4\t891717742\n", "u.data"),
        ("196::242::3::881250949\n186::302::4::891717742\n", "ratings.dat"),
        ("user_id:token\titem_id:token\trating:float\n196\t242\t3\n186\t302\t4\n", "ml.inter"),
    ],
)
def test_files_of_movielens(read, text, name):
    found = read(text, name)
    assert found.pairs.tolist() == [["196", "242"], ["186", "302"]]
    assert found.values.tolist() == [3, 4]


def test_a_first_line_with_a_number_is_no_header(read):
    found = read("ann,film,5\nbob,film,4\n")
    assert found.pairs.tolist() == [["ann", "film"], ["bob", "film"]]
    assert "called by position" in found.notes[0]


def test_whole_numbers_lose_a_decimal_zero_if_all_ids_are_whole(read):
    assert read("user,item,rating\n1.0,a,2\n,b,3\n").pairs.tolist() == [["1", "a"]]
    assert read("user,item,rating\n1.0,2,3\nx,2,3\n").pairs[0, 0] == "1.0"


def test_marks_in_values_are_named(read):
    with pytest.raises(InputError, match=r"'rating' of values contains '\?', .* pass --missing '\?'; --value"):
        read("user,item,rating\n1,2,?\n1,3,4\n")
    assert any("--missing 99" in note for note in read("a,b,c\n1,1,3\n1,2,4\n2,1,5\n2,2,2\n3,1,99\n").notes)


def test_pairs_to_predict_may_have_values(read):
    asked = {"needs_values": False, "like": ("who", "what", "stars")}
    found = read("what,who,stars\nfilm,ann,\nbook,bob,2\n", **asked)
    assert found.pairs.tolist() == [["ann", "film"], ["bob", "book"]]
    np.testing.assert_array_equal(found.values, [np.nan, 2])
    assert not found.notes
    assert read("who,what\nann,film\n", **asked).values is None
    with pytest.raises(InputError, match="give them the names 'who' and 'what' of the known values"):
        read("a,b,c,d,e\n1,2,3,4,5\n", **asked)


def test_a_file_without_a_pair_is_refused(read):
    with pytest.raises(InputError, match="no line with a row, a column and a value"):
        read("user,item,rating\n1,,3\n,2,3\n")


def test_a_value_whose_square_overflows_is_refused_with_its_pair(read):
    with pytest.raises(InputError, match=r"column 'rating' has 2e\+160 in the line of 'ann' and 'ik', expected"):
        read("user,film,rating\nann,solo,1\nann,ik,2e160\nbob,ik,3\n")


def test_columns_that_nothing_separates_have_a_remedy(read):
    with pytest.raises(InputError, match=r"no comma, .* separates columns in all its rows; save it as CSV"):
        read("user/film/rating\nann/solo/1\n")
