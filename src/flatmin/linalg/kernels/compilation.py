"""Compilation of loops by Numba: once for each installation, with a notice on terminals while it lasts.

Compiled loops are kept beside the package, in the user's cache folder, or where ``NUMBA_CACHE_DIR`` says. If none of
these can be written, as with a read-only home, they are kept in a private folder for temporary files. If that fails
too, every process compiles them.

An assignment of one array to a part of another, such as ``out[i] = total``, makes Numba compile its string library for
the message of a shape check. This takes seconds, so the loops assign single numbers.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config, event

from flatmin._core.progress import CLEAR_LINE

__all__ = ["compiled"]

#: Compiler flags: sums may be reordered, but NaN and infinity keep their meaning.
MATHS = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Any) -> Any:
    """Return a function that is compiled at its first call for each type of arguments, and cached if possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": MATHS}
    for place in (None, _private_folder):
        with suppress(RuntimeError, OSError), _kept_in(place() if place else config.CACHE_DIR):  # type: ignore[attr-defined]
            return _forgiving(njit(cache=True, **options)(function))
    return njit(**options)(function)


def _private_folder() -> str:
    """Return a folder for temporary files to which nobody else can write, or raise `OSError`.

    Compiled loops are code: whoever can write to their folder can run code as this user.
    """
    if not hasattr(os, "getuid"):  # on Windows, temporary files are the user's own
        return tempfile.gettempdir()
    folder = Path(tempfile.gettempdir(), f"flatmin-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise PermissionError(f"{folder} is not private")
    return str(folder)


@contextmanager
def _kept_in(folder: str) -> Iterator[None]:
    """Keep loops that are declared in the block in a folder; an empty name stands for Numba's usual places."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = folder  # type: ignore[attr-defined]
    try:
        yield
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


def _forgiving(loop: Any) -> Any:
    """Make a loop work if what was compiled cannot be kept or read after all, for example on a full disk."""
    if hasattr(loop, "_cache"):  # not with NUMBA_DISABLE_JIT
        loop._cache._guard_against_spurious_io_errors = lambda: suppress(OSError, EOFError)
    return loop


class _Notice(event.Listener):
    """A line on a terminal's stderr while a loop of flatmin is compiled. Loops that come from a cache are silent."""

    def on_start(self, event: Any) -> None:
        """Show the line."""
        self._write(event, "compiling loops, once")

    def on_end(self, event: Any) -> None:
        """Remove the line."""
        self._write(event, "")

    def _write(self, event: Any, words: str) -> None:
        function = event.data["dispatcher"].py_func
        if str(function.__module__).startswith("flatmin.") and sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(CLEAR_LINE + words)
            sys.stderr.flush()


event.register("numba:compile", _Notice())  # type: ignore[no-untyped-call]
