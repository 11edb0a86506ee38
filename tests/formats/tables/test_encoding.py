import codecs
from pathlib import Path

import pytest

from flatmin import InputError
from flatmin.formats.tables.encoding import EncodedText

TEXT = "größe,1\n"


@pytest.mark.parametrize(
    ("raw", "told", "encoding"),
    [
        (TEXT.encode(), None, "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), None, "utf-8"),
        (TEXT.encode("utf-16"), None, "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), None, "utf-16-be"),
        (TEXT.encode("utf-32"), None, "utf-32-le"),
        (TEXT.encode("latin-1"), None, "cp1252"),
        (TEXT.encode("latin-1"), "latin-1", "iso8859-1"),
        (TEXT.encode("utf-16"), "utf-16", "utf-16-le"),
        (TEXT.encode("utf-16-le"), "utf-16", "utf-16-le"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8", "utf-8"),
    ],
)
def test_a_text_is_written_again_byte_by_byte(raw, told, encoding):
    found = EncodedText.decode(raw, Path("t.csv"), told)
    assert (found.text, found.encoding, found.guessed) == (TEXT, encoding, encoding == "cp1252")
    assert found.encoded(found.text) == raw


def test_every_byte_can_be_read():
    raw = bytes(range(1, 256))
    found = EncodedText.decode(raw, Path("t.csv"), None)
    assert (found.encoding, found.encoded(found.text)) == ("latin-1", raw)


@pytest.mark.parametrize(
    ("raw", "told", "part"),
    [
        (TEXT.encode("latin-1"), "utf-8", "see its byte 2"),
        (TEXT.encode(), "klingon", "--encoding is 'klingon', expected an encoding such as"),
        (TEXT.encode(), "base64", "--encoding is 'base64'"),
        (TEXT.encode("utf-16-le"), None, "pass --encoding utf-16-le"),
    ],
)
def test_an_encoding_that_does_not_fit_is_an_error(raw, told, part):
    with pytest.raises(InputError, match=part):
        EncodedText.decode(raw, Path("t.csv"), told)
