"""Arrays in NumPy's files ``.npy`` and ``.npz``, alone or with a description in JSON; without pickle.

Headers are checked before any memory is taken.
"""

import json
import math
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import atomic_path, reason, refused_if_damaged, refused_if_unwritable
from flatmin._core.memory import require
from flatmin._core.validation import check_version
from flatmin.errors import InputError

__all__ = ["read_array", "read_described", "read_entry", "stored_arrays", "write_described"]

#: Readers of the versions of the header. Version 3 is for names of fields, which no array of numbers has.
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: Number of bytes that are read at a time.
BLOCK = 1 << 24
#: Largest ratio of the size of data to their size after the compression of zip files, which is below 1032.
LARGEST_RATIO = 1100


def read_array(stream: IO[bytes], size: int) -> Array:
    """Return the array in a stream of ``size`` bytes, or raise `ValueError` if its header promises another size."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"it has version {version[0]}.{version[1]} of the format, expected 1.0 or 2.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of headers that Python 2 wrote
        shape, by_columns, kind = HEADERS[version](stream)
    if kind.hasobject:
        raise ValueError("Object arrays cannot be read")
    promised, rest = math.prod(shape) * kind.itemsize, size - stream.tell()
    if promised != rest:
        raise ValueError(f"it promises {promised} bytes of numbers and has {rest}")
    content = memoryview(bytearray(promised))
    for start in range(0, promised, BLOCK):
        part = content[start : start + BLOCK]
        if stream.readinto(part) != len(part):  # type: ignore[attr-defined]
            raise ValueError("its end is missing")
    flat: Array = np.frombuffer(content, kind, math.prod(shape))
    return flat.reshape(shape, order="F" if by_columns else "C")


def stored_arrays(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of an ``.npz`` archive by their keys.

    `ValueError` is raised if an entry promises a size that its compression cannot reach.
    """
    found = {}
    for entry in archive.infolist():
        key = entry.filename.removesuffix(".npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"the key {key!r} has an unusual compression, expected the one of NumPy")
        if entry.file_size > LARGEST_RATIO * (entry.compress_size + 1):
            sizes = f"{entry.file_size} bytes in {entry.compress_size} bytes of file"
            raise ValueError(f"the key {key!r} promises {sizes}, which is impossible")
        found[key] = entry
    return found


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    """Return the array of an entry, or raise an error of any kind if it is damaged."""
    with archive.open(entry) as stream:
        return read_array(stream, entry.file_size)


def write_described(file: str | Path, arrays: Mapping[str, Any], description: Mapping[str, Any], version: int) -> None:
    """Write arrays and their description, whole or not at all, or raise `InputError`."""
    contents: dict[str, Any] = {**arrays, "description": json.dumps(description), "format_version": version}
    with refused_if_unwritable(file), atomic_path(Path(file)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **contents)


def read_described(file: str | Path, version: int, content: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return arrays and description, or raise `InputError` if the file is missing, damaged or of a newer version.

    ``version`` is the newest version that is read. ``content`` says in the error what was expected, for example "a
    solution".
    """
    damaged = f"{file} cannot be read as {content}, expected an .npz file of flatmin"
    with refused_if_damaged(damaged), zipfile.ZipFile(file) as archive:
        entries = stored_arrays(archive)
        require(2.0 * sum(entry.file_size for entry in entries.values()), f"reading {file}")
        data = {key: read_entry(archive, entry) for key, entry in entries.items()}
    try:
        stated = data["format_version"].tolist()
        check_version(file, stated, version)
        return data, dict(json.loads(str(data["description"])))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        fault = f"{error} is missing or unknown" if isinstance(error, KeyError) else reason(error)
        raise InputError(f"{file} is not {content} saved by this version of flatmin: {fault}") from error
