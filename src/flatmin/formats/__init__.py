"""File formats of matrices with missing cells, one module for each; `register` adds another format."""

import stat
from pathlib import Path

from flatmin._core.files import mode_of
from flatmin._core.registry import Registry
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells

_FORMATS = Registry[type[Document]](
    "file format", Document, classes=True, package=__name__, attribute="FORMAT", group="flatmin.formats"
)
register, unregister = _FORMATS.register, _FORMATS.unregister
__all__ = ["Document", "KnownCells", "find", "register", "suffixes", "unregister"]


def suffixes() -> list[str]:
    """Return the sorted endings of all files that can hold a matrix with missing cells.

    Examples
    --------
    >>> {".csv", ".npy"} <= set(suffixes())
    True
    """
    return sorted(suffix for document in _FORMATS for suffix in document.suffixes)


def find(path: Path) -> type[Document] | None:
    """Return the format of a folder, or of a file by its ending, or None if no format fits.

    Examples
    --------
    >>> find(Path("table.csv")).__name__, find(Path("thesis.docx"))
    ('TextTable', None)
    """
    try:
        folder = stat.S_ISDIR(mode_of(path) or 0)
    except OSError as error:
        raise InputError(f"the input {path} cannot be read: {error.strerror or error}") from error
    for document in _FORMATS:
        if document.is_folder if folder else path.suffix.lower() in document.suffixes:
            return document
    return None


__dir__ = __all__.copy
