import random

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.formats.coded_text import BLOCK, CodedColumn, CodedText
from flatmin.formats.tables.text_file import CodedTextFile, TextFile

ALPHABETS = (
    "a1,\n;",
    'a,\n"',
    '1.,;\t\n" ',
    "a:1\n\r:",
    '"a",b\n 1.5;',
    "1,2\n",
    '1|"2\n',
    "é\x0b,\n",
    "1 2\n",
    '1. "2,\n',
)


def read(kind, path):
    try:
        file = kind.read(path)
    except InputError as error:
        return str(error)
    columns = [file.texts(j) for j in range(len(file.names))]
    numbers = [[str(file.number(text)) for text in column] for column in columns]
    places = [file.place(i) for i in range(file.n_rows)]
    return file.names, file.index, file.notes, columns, numbers, places


def test_any_text_is_read_as_by_lines(tmp_path):
    rng, path, tables = random.Random(0), tmp_path / "t.csv", 0
    for _ in range(200):
        text = "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(1, 30)))
        path.write_text(rng.choice(["", "u,i,r\n", "\ufeff"]) + text, encoding="utf-8", newline="")
        coded, by_lines = read(CodedTextFile, path), read(TextFile, path)
        if len(by_lines[0]) > 1:  # blank lines of a single column are cells, but they make no pairs
            assert coded == by_lines, text
            tables += not isinstance(by_lines, str)
    assert tables > 20


def test_blocks_do_not_split_rows(tmp_path):
    n = BLOCK // 4
    text = "user,item\r\n" + "".join(f"u{k % 7},i{k % 5}\r\n" for k in range(n))
    found = CodedText.parse(text, tmp_path)
    assert found.header == ["user", "item"]
    assert found.n_rows == n
    assert found.columns[0].distinct == [f"u{k}" for k in range(7)]
    np.testing.assert_array_equal(found.columns[1].codes, np.arange(n) % 5)
    with pytest.raises(InputError, match=f"row {n + 2} has 3 cells, expected 2 as in row 1"):
        CodedText.parse(text + "a,b,c\n", tmp_path)


def test_columns_change_at_their_ends():
    column = CodedColumn.from_texts(["name", "b", "", "b", ""])
    body = column.without_first()
    assert (body.texts, body.distinct, body.trimmed) == (["b", "", "b", ""], ["b", ""], 3)
    assert body.after("b").texts == ["b", *body.texts]
    assert body.after("c").texts == ["c", *body.texts]
    assert CodedColumn.from_texts(["", ""]).trimmed == 0
