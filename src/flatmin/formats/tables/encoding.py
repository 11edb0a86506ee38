"""EncodedText: the text of a file with the encoding and the byte order mark by which it is written again."""

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flatmin.errors import InputError

__all__ = ["EncodedText"]

#: Byte order marks and their encodings. That of UTF-32 begins like that of UTF-16, so it comes first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Encodings of one byte for each character, tried in this order for text that is not UTF-8.
WESTERN = ("cp1252", "latin-1")


@dataclass(frozen=True)
class EncodedText:
    """A decoded text, its encoding, its byte order mark, and whether the encoding is a guess."""

    text: str
    encoding: str
    mark: bytes = b""
    guessed: bool = False

    @classmethod
    def decode(cls, raw: bytes, path: Path, encoding: str | None) -> Self:
        """Decode the bytes of a file.

        Without an ``encoding``, a byte order mark decides, then UTF-8 if it fits, and else Western European text.
        """
        mark, marked = next(((m, e) for m, e in MARKS if raw.startswith(m)), (b"", None))
        if encoding is not None:
            return cls._as_told(raw, path, encoding)
        if marked is not None:
            return cls(_decoded(raw.removeprefix(mark), path, marked), marked, mark)
        if b"\0" in raw[:4096]:
            raise InputError(f"{path} has zero bytes, expected text; for UTF-16 pass --encoding utf-16-le or utf-16-be")
        for name in ("utf-8", *WESTERN):
            try:
                return cls(raw.decode(name), name, guessed=name in WESTERN)
            except UnicodeDecodeError:
                continue
        raise AssertionError("latin-1 decodes all bytes")

    @classmethod
    def _as_told(cls, raw: bytes, path: Path, encoding: str) -> Self:
        try:
            name = codecs.lookup(encoding).name
            "".encode(name)
        except LookupError as error:
            raise InputError(
                f"--encoding is {encoding!r}, expected an encoding such as utf-8, latin-1, cp1252 or utf-16"
            ) from error
        for mark, marked in MARKS:
            if raw.startswith(mark) and marked.startswith(name.removesuffix("-sig")):
                return cls(_decoded(raw.removeprefix(mark), path, marked), marked, mark)
        if name in ("utf-16", "utf-32"):  # without a mark, as Windows writes it
            name += "-le"
        return cls(_decoded(raw, path, name), name)

    def encoded(self, text: str) -> bytes:
        """Return another text in the same encoding, with the same mark."""
        return self.mark + text.encode(self.encoding)


def _decoded(raw: bytes, path: Path, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in {encoding}, see its byte {error.start}; pass --encoding with another one"
        ) from error
