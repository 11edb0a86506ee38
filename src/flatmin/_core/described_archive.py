"""Archives ``.npz`` of arrays with a description in JSON and the version of their format, without pickle."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import atomic_path, reason, refused_if_damaged
from flatmin._core.memory import require
from flatmin._core.stored_arrays import read_entry, stored_arrays
from flatmin.errors import InputError

__all__ = ["read_described", "write_described"]


def write_described(file: str | Path, arrays: Mapping[str, Any], description: Mapping[str, Any], version: int) -> None:
    """Write arrays and their description, whole or not at all, or raise `InputError`."""
    contents: dict[str, Any] = {**arrays, "description": json.dumps(description), "format_version": version}
    try:
        with atomic_path(Path(file)) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **contents)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from error


def read_described(file: str | Path, version: int, content: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return arrays and description, or raise `InputError` if the file is missing, damaged or of another version.

    ``content`` says in the error what was expected, such as "a solution".
    """
    damaged = f"{file} cannot be read as {content}, expected an .npz file of flatmin"
    with refused_if_damaged(damaged), zipfile.ZipFile(file) as archive:
        entries = stored_arrays(archive)
        require(2.0 * sum(entry.file_size for entry in entries.values()), f"reading {file}")
        data = {key: read_entry(archive, entry) for key, entry in entries.items()}
    try:
        found = int(data.get("format_version", -1))
        if found != version:
            raise InputError(f"it has format version {found}, expected {version}")
        return data, dict(json.loads(str(data["description"])))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        fault = f"{error} is missing or unknown" if isinstance(error, KeyError) else reason(error)
        raise InputError(f"{file} is not {content} saved by this version of flatmin: {fault}") from error
