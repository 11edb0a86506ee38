"""Atomic writing of files and directories: a target is replaced as a whole or not at all."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flatmin.errors import InputError

__all__ = [
    "atomic_directory",
    "atomic_path",
    "check_page",
    "check_place",
    "check_writable",
    "created_parents",
    "first_bytes",
    "mode_of",
    "reason",
    "refused_if_damaged",
    "refused_if_unwritable",
    "temporary_directory",
    "write_page",
]

#: Beginning of the names of directories that are being written.
MARK = ".flatmin-"
#: Beginning of the name of a former directory while it is replaced in two steps.
FORMER = ".former-flatmin-"
#: Age in seconds from which a directory that no process holds is the remainder of a killed process.
ABANDONED = 60.0
#: Of the system calls renameat2 (Linux) and renamex_np (macOS): the flag that exchanges two names, and the directory
#: that relative paths start from.
EXCHANGE, HERE = 2, -100
#: A page names its generator within this number of bytes at the beginning.
HEAD_BYTES = 4096
#: Errors of these calls where the system or the file system cannot exchange names.
UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def mode_of(path: Path) -> int | None:
    """Return the mode of what is at a path, as `os.stat` gives it, or None if nothing is there.

    `OSError` is raised if this cannot be known, for example for a name that is too long. The methods of `Path` say in
    such a case that nothing is there, from Python 3.14 on.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


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


def check_page(file: Path, generator: str, former: str) -> None:
    """Raise `InputError` if a page cannot be written, or would replace a file without this mark of its generator.

    ``former`` is what the error says that the file is not, for example "former report of flatmin".
    """
    check_writable(file, "the page")
    head = first_bytes(file, "the page", HEAD_BYTES)
    if head and f'<meta name="generator" content="{generator}'.encode() not in head:
        raise InputError(f"the page {file} exists and is no {former}; choose another name")


def write_page(file: Path, html: str) -> None:
    """Write a page as a whole or not at all; `InputError` is raised if it cannot be written."""
    with refused_if_unwritable(f"the page {file}"), atomic_path(file.resolve()) as temporary:
        temporary.write_text(html, encoding="utf-8")


@contextmanager
def refused_if_unwritable(target: str | Path) -> Iterator[None]:
    """Turn an `OSError` of the block into an `InputError` that names the target and the reason."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from error


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
    """Yield an empty temporary directory, which takes the place of ``target`` on success.

    Old and new directory exchange their names in one step where the system can do so (Linux, macOS), so ``target`` is
    complete at every moment, even if the process is killed. Elsewhere a kill between two steps leaves ``target``
    without a directory until the next run, which gives the old one its name back. Each run also removes what killed
    processes left in the same parent directory.
    """
    with created_parents(target):
        _restore(target)
        with temporary_directory(target.parent, MARK) as temporary:
            yield temporary
            _put(temporary, target)


@contextmanager
def temporary_directory(parent: Path, mark: str) -> Iterator[Path]:
    """Yield an empty directory, whose name begins with ``mark`` and which is removed at the end.

    Directories of this mark that killed processes left are removed first, but not on Windows.
    """
    for path in parent.glob(f"{mark}*"):
        _remove_if_abandoned(path)
    temporary = Path(tempfile.mkdtemp(prefix=mark, dir=parent))
    try:
        with _held(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, target: Path) -> None:
    """Give a temporary directory its usual permissions and the name ``target``; a former one takes its name instead."""
    temporary.chmod(0o777 & ~_umask())
    if not target.exists():
        try:
            temporary.rename(target)
            return
        except OSError as error:  # another process may have been faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    if not _exchanged(temporary, target):
        former = _former(target)
        target.rename(former)
        try:
            temporary.rename(target)
        except BaseException:
            former.rename(target)
            raise
        shutil.rmtree(former, ignore_errors=True)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange the names of two directories in one step; return False if the system cannot."""
    if os.name != "posix":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "darwin":
        status = library.renamex_np(*names, EXCHANGE)
    elif hasattr(library, "renameat2"):
        status = library.renameat2(HERE, names[0], HERE, names[1], EXCHANGE)
    else:
        return False
    code = ctypes.get_errno()
    if status and code not in UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(second))
    return not status


def _former(target: Path) -> Path:
    return target.with_name(FORMER + target.name)


def _restore(target: Path) -> None:
    """Give a former directory its name back if it was not replaced, otherwise remove it."""
    former = _former(target)
    with suppress(OSError):
        if former.is_dir() and not target.exists():
            former.rename(target)
        _remove_if_abandoned(former)


def _remove_if_abandoned(path: Path) -> None:
    if os.name != "posix":  # where no lock tells whether a directory is in use
        return
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > ABANDONED:
            with _held(path):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a lock on a directory, which ends with the process; raise `OSError` if another process holds it."""
    try:
        import fcntl
    except ImportError:  # on Windows, where nothing asks for the lock
        yield
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


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
