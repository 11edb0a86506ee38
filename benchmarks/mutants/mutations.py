"""Mutations of files: random changes of bytes, and changes that know the structure of text, archives and databases."""

import gzip
import io
import os
import re
import sqlite3
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["mutant"]

#: Words that take the place of a word in a text.
WORDS: Sequence[bytes] = (
    *(
        b"",
        b"nan",
        b"inf",
        b"-1",
        b"0",
        b"1e400",
        b"1e-400",
        b"1.8e308",
        b"99999999999999999999",
        b"1_0",
        b"0x1p3",
        b"[]",
        b"{}",
    ),
    *(
        b"<img src=x onerror=alert(1)>",
        b"]]></script><script>",
        b"\xe2\x80\xae",
        b"\0",
        b"\x1b[31m",
        b'"',
        b"'",
        b"\xff\xfe",
    ),
    *(b"../../evil", b"/etc/passwd", b"=HYPERLINK(1)", b"{{7*7}}", b"$\\frac{", b"1,5", b"null", b"true", b"9" * 5000),
)
NUMBERS = (0, 1, 2**7, 2**15 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
#: Python objects as a pickle that calls print.
PICKLE = b"cbuiltins\nprint\n(S'unpickled'\ntR."
Random = np.random.Generator


def mutant(content: bytes, random: Random) -> bytes:
    """Return a damaged copy of a file, by one to three changes."""
    for _ in range(int(random.integers(1, 4))):
        changes = [*BYTES, *_structured(content)]
        content = changes[int(random.integers(len(changes)))](content, random)
    return content


def _structured(content: bytes) -> Sequence[Callable[[bytes, Random], bytes]]:
    """Return the changes that know the structure of a file, often enough that half of all changes are such."""
    if content.startswith(b"\x1f\x8b"):
        return (_compressed,) * len(BYTES)
    if content.startswith(b"PK\x03\x04"):
        return (_in_archive,) * len(BYTES)
    if content.startswith(b"\x93NUMPY"):
        return (_header,) * len(BYTES)
    if content.startswith(b"\x89PNG"):
        return (_in_chunk,) * len(BYTES)
    if content.startswith(b"SQLite format 3\0"):
        return (_in_database,) * len(BYTES)
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in content[:500])
    return (_word, _line) * (len(BYTES) // 2) if printable > 0.9 * len(content[:500]) else ()


def _place(content: bytes, random: Random) -> tuple[int, int]:
    """Return the ends of a random part."""
    start = int(random.integers(len(content) + 1))
    return start, min(len(content), start + int(random.integers(1, 17)))


def _flip(content: bytes, random: Random) -> bytes:
    start, _ = _place(content[:-1], random)
    return (
        content[:start] + bytes([content[start] ^ (1 << int(random.integers(8)))]) + content[start + 1 :]
        if content
        else b"\0"
    )


def _cut(content: bytes, random: Random) -> bytes:
    return content[: _place(content, random)[0]]


def _delete(content: bytes, random: Random) -> bytes:
    start, stop = _place(content, random)
    return content[:start] + content[stop:]


def _repeat(content: bytes, random: Random) -> bytes:
    start, stop = _place(content, random)
    return content[:stop] + content[start:stop] * int(random.integers(1, 50)) + content[stop:]


def _insert(content: bytes, random: Random) -> bytes:
    start, _ = _place(content, random)
    return content[:start] + random.bytes(int(random.integers(1, 9))) + content[start:]


def _number(content: bytes, random: Random) -> bytes:
    """Overwrite some bytes by a whole number at a limit."""
    size = int(random.choice([1, 2, 4, 8]))
    start, order = _place(content, random)[0], ("little", "big")[int(random.integers(2))]
    number = NUMBERS[int(random.integers(len(NUMBERS)))] % 256**size
    return content[:start] + number.to_bytes(size, order) + content[start + size :]


BYTES = (_flip, _cut, _delete, _repeat, _insert, _number)


def _word(content: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"[^\s,;:=\[\]{}()\"']+", content)) or list(re.finditer(rb"", content))
    word = found[int(random.integers(len(found)))]
    return content[: word.start()] + WORDS[int(random.integers(len(WORDS)))] + content[word.end() :]


def _line(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    k, other = (int(random.integers(len(lines))) for _ in range(2))
    lines[k : k + 1] = [[], [lines[k]] * 3, [lines[other]], [lines[k].rstrip(b"\r\n")]][int(random.integers(4))]
    return b"".join(lines)


def _header(content: bytes, random: Random) -> bytes:
    """Change a word in the header of an array."""
    size = int.from_bytes(content[8:10], "little")
    text = _word(content[10 : 10 + size].rstrip(), random)
    text = text[:5000].ljust(size - 1) + b"\n"
    return content[:8] + struct.pack("<H", len(text) % 2**16) + text + content[10 + size :]


def _in_chunk(content: bytes, random: Random) -> bytes:
    """Overwrite a number of a PNG's header, and correct its checksum."""
    start, number = (16, 20, 24, 25, 28)[int(random.integers(5))], NUMBERS[int(random.integers(len(NUMBERS)))]
    size = 4 if start < 24 else 1
    changed = content[:start] + (number % 256**size).to_bytes(size, "big") + content[start + size :]
    return changed[:29] + struct.pack(">I", zlib.crc32(changed[12:29])) + changed[33:]


def _in_archive(content: bytes, random: Random) -> bytes:
    """Change an entry of a zip file, its name, or the size that the file promises for it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return _flip(content, random)
    names = list(entries) or ["x"]
    name, way = names[int(random.integers(len(names)))], int(random.integers(6))
    old = entries.pop(name, b"")
    if way == 0:
        entries[("../../evil.npy", "/tmp/evil.npy", "x" * 300 + ".npy", "\u202e.npy", " ")[int(random.integers(5))]] = (
            old
        )
    elif way == 1:
        entries[name] = (
            b"\x93NUMPY\x01\x00\x46\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(69)
            + b"\n"
            + PICKLE
        )
    elif way < 5:
        entries[name] = mutant(old, random)
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that stand twice
        for key, value in entries.items():
            archive.writestr(key, value)
        if way == 5:
            archive.writestr(name, old)
            archive.writestr(name, old)
    changed = stream.getvalue()
    if random.random() < 0.2:
        place = changed.rfind(b"PK\x01\x02")
        changed = changed[: place + 24] + struct.pack("<I", 4_000_000_000) + changed[place + 28 :]
    return changed


def _compressed(content: bytes, random: Random) -> bytes:
    """Change what a gzip file holds."""
    try:
        return gzip.compress(mutant(gzip.decompress(content), random), mtime=0)
    except (OSError, EOFError, zlib.error):
        return _flip(content, random)


def _in_database(content: bytes, random: Random) -> bytes:
    """Set a column of a row to a value of another kind."""
    with tempfile.TemporaryDirectory() as place:
        file = os.path.join(place, "x.db")
        with open(file, "wb") as stream:
            stream.write(content)
        try:
            with sqlite3.connect(file) as database:
                columns = [row[1] for row in database.execute("PRAGMA table_info(trials)")]
                column = columns[int(random.integers(len(columns)))]
                word = WORDS[int(random.integers(len(WORDS)))]
                values = (
                    word.decode("latin-1"),
                    word,
                    2**63 - 1,
                    1e400,
                    -1,
                    0.5,
                    "{}",
                    '{"success": "no"}',
                    '{"a": []}',
                )
                value = values[int(random.integers(len(values)))]
                database.execute(
                    f"UPDATE OR IGNORE trials SET {column} = ? WHERE rowid = 1 + ?", (value, int(random.integers(6)))
                )
            database.close()
        except (sqlite3.Error, ValueError, UnicodeError):
            return _flip(content, random)
        with open(file, "rb") as stream:
            return stream.read()
