import gzip

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.tables.text_file import TextFile


def read(path, raw, encoding=None):
    path.write_bytes(raw)
    return TextFile.read(path, encoding)


@pytest.mark.parametrize(
    ("name", "raw", "filled"),
    [
        ("t.csv", b"a,b\n1.50,\n,x\n", b"a,b\n1.50,\n7.5,x\n"),
        ("t.tsv", b"a\tb\r\n1,50\t\r\n\tx", b"a\tb\r\n1,50\t\r\n7,5\tx"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,\n,x\n", mtime=0), b"a,b\n1,\n7.5,x\n"),
        ("T.TXT", "größe;b\n1;\n;x\n".encode("latin-1"), "größe;b\n1;\n7.5;x\n".encode("latin-1")),
        ("t.csv", "a,b\n1,\n,ü\n".encode("utf-16"), "a,b\n1,\n7.5,ü\n".encode("utf-16")),
    ],
)
def test_only_filled_cells_change(tmp_path, name, raw, filled):
    file = read(tmp_path / name, raw)
    out = file.write(tmp_path / "completed", {0: np.array([np.nan, 7.5])})
    assert out.name == "completed" + name.lower()[1:]
    found = out.read_bytes()
    assert (gzip.decompress(found) if name.endswith("gz") else found) == filled


def test_a_table_without_a_header_is_said_to_be_one(tmp_path):
    file = read(tmp_path / "t.csv", b"1,2\n3,4\n")
    assert (file.names, file.n_rows) == (["", ""], 2)
    assert "called by position" in file.notes[0]


def test_rows_are_named_by_their_line(tmp_path):
    assert read(tmp_path / "t.csv", b"\na,b\n\n1,2\n").place(0) == "row 4"


def test_a_broken_archive_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv\.gz cannot be read"):
        read(tmp_path / "t.csv.gz", b"no archive")


def test_a_compressed_file_is_unpacked_only_as_far_as_it_fits_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1e8)
    read_bytes = 0

    class Counted(gzip.GzipFile):
        def read(self, size=-1):
            nonlocal read_bytes
            block = super().read(size)
            read_bytes += len(block)
            return block

    monkeypatch.setattr("flatmin.formats.tables.text_file.gzip.open", lambda path: Counted(path))
    with pytest.raises(InputError, match=r"reading t\.csv\.gz would need about"):
        read(tmp_path / "t.csv.gz", gzip.compress(bytes(10**8), 1))
    assert read_bytes < 2e7
