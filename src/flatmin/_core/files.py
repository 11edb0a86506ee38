"""Atomic writing of files and directories: a target is replaced as a whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flatmin.errors import InputError

__all__ = ["atomic_directory", "atomic_path", "check_place", "check_writable", "first_bytes"]


def check_place(file: Path, name: str) -> None:
    """Raise `InputError` if a file cannot be at its path; the error calls it ``name``, for example "the --export"."""
    if file.is_dir():
        raise InputError(f"{name} {file} is a directory, expected a file or a new name")
    if not file.parent.is_dir():
        raise InputError(f"{name} {file} would stand in {file.parent}, which is no directory; make it first")


def check_writable(file: Path, name: str) -> None:
    """Raise `InputError` if a file cannot be at its path, or if nothing may be written to its directory."""
    check_place(file, name)
    directory = file.resolve().parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(f"{name} {file} cannot be written: nothing may be made in {directory}")


def first_bytes(file: Path, name: str, count: int) -> bytes:
    """Return the first ``count`` bytes of a file, or an empty string if it does not exist.

    `InputError` is raised if no file can be at this path, or if the file is not regular or cannot be read.
    """
    check_place(file, name)
    if not file.exists():
        return b""
    if not file.is_file():
        raise InputError(f"{name} {file} is no regular file, expected one or a new name")
    try:
        with file.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise InputError(f"{name} {file} cannot be read: {error.strerror or error}") from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``target``. Its file replaces the target on success, or is removed."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty temporary directory, which replaces ``target`` as a whole on success."""
    created = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
            os.replace(target, old / target.name)
            try:
                os.replace(temporary, target)
            except BaseException:
                os.replace(old / target.name, target)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.exists():
            for parent in created:
                with suppress(OSError):
                    parent.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
