"""Atomic writing of files and directories: a target is replaced as a whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flatmin.errors import InputError

__all__ = [
    "atomic_directory",
    "atomic_path",
    "check_place",
    "check_writable",
    "created_parents",
    "first_bytes",
    "reason",
    "refused_if_damaged",
]


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
    with created_parents(target):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield temporary
            _put(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def created_parents(target: Path) -> Iterator[None]:
    """Create the directories above ``target``, and remove the new ones if it does not exist at the end."""
    created = [parent for parent in target.parents if not os.path.exists(parent)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        if not os.path.exists(target):  # Path.exists raises OSError for a name that is too long
            for parent in created:
                with suppress(OSError):
                    parent.rmdir()


def _put(temporary: Path, target: Path) -> None:
    """Give a temporary directory its usual permissions and the name ``target``, in place of a former one."""
    temporary.chmod(0o777 & ~_umask())
    if not target.exists():
        os.replace(temporary, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    os.replace(target, old / target.name)
    try:
        os.replace(temporary, target)
    except BaseException:
        os.replace(old / target.name, target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def refused_if_damaged(what: str) -> Iterator[None]:
    """Raise `InputError` for any error of a reader in the block; ``what`` says what failed, as "x.npy is no array"."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # readers of files raise errors of many kinds if bytes are damaged
        raise InputError(f"{what}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the reason of an exception in one line. NumPy's advice to allow pickle is left out."""
    if "pickle" in str(error) or "Object arrays" in str(error):
        return "it is damaged or holds Python objects, expected plain numbers"
    return " ".join(str(error).split()) or type(error).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
