import pytest

from flatmin import InputError
from flatmin.formats.tables.named_file import NamedFile
from flatmin.formats.tables.pair_columns import ColumnChoice
from flatmin.formats.tables.table_column import ColumnCells, Marks


def choose(tmp_path, text, asked=None, **options):
    path = tmp_path / "r.csv"
    path.write_text(text)
    named = NamedFile.read(path, None, "the table")
    cells = [ColumnCells.read(named.file.texts(j), named.file.number, Marks()) for j in range(len(named.names))]
    return [named.names[j] for j in ColumnChoice("r.csv", named, cells, **options).columns(asked or {})]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("USER,ITEM,RATING", "USER ITEM RATING"),
        ("rating,movieId,userId", "userId movieId rating"),
        ("user_id:token,item_id:token,rating:float", "user_id:token item_id:token rating:float"),
        ("Name,Film,Sterne", "Name Film Sterne"),
        ("timestamp,x,y,z", "x y z"),
        ("User-ID,ISBN,Book-Rating", "User-ID ISBN Book-Rating"),
        ("a,b,c", "a b c"),
        ("a,b,c,when", "a b c"),
    ],
)
def test_names_decide_first_and_then_the_order(tmp_path, header, expected):
    body = ",".join(["7", "8", "3", "978300760"][: header.count(",") + 1])
    assert choose(tmp_path, f"{header}\n{body}\n{body}\n") == expected.split()


def test_large_ids_are_not_taken_for_times(tmp_path):
    assert choose(tmp_path, "a,b,c\n978300760,978300761,3\n978300770,978300761,4\n") == ["a", "b", "c"]


def test_options_come_before_names(tmp_path):
    text = "user,reader,item,rating\n1,2,3,4\n"
    assert choose(tmp_path, text, {"row": "reader"}) == ["reader", "item", "rating"]
    with pytest.raises(InputError, match=r"'user', 'reader' that fit, .* name it by --row"):
        choose(tmp_path, text)
    with pytest.raises(InputError, match="--row and --column name the same column twice"):
        choose(tmp_path, text, {"row": "item", "column": "item"})


def test_a_name_of_values_must_be_numeric(tmp_path):
    assert choose(tmp_path, "user,item,notes,rating\n1,2,good,4\n") == ["user", "item", "rating"]
    with pytest.raises(InputError, match="the column 'c' of values has no numbers"):
        choose(tmp_path, "a,b,c\nx,y,z\n")


def test_values_may_be_absent(tmp_path):
    options = {"needs_values": False}
    assert choose(tmp_path, "item,user\n1,2\n", **options) == ["user", "item"]
    assert choose(tmp_path, "a,b,c\n1,2,text\n", **options) == ["a", "b"]
    assert choose(tmp_path, "a,b,c\n1,2,3\n", **options) == ["a", "b", "c"]


def test_what_is_not_clear_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"by --row, --column and --value; a table with a column for each item"):
        choose(tmp_path, "a,b,c,d,e\n1,2,3,4,5\n")
    with pytest.raises(InputError, match=r"the rows and columns; no comma, .*separates columns.*; rename them$"):
        choose(tmp_path, "a\n1\n", needs_values=False, remedy="rename them")
