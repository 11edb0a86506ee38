"""Compilation of loops by Numba: once for each installation, with a notice on terminals while it lasts.

An assignment of one array to a part of another, such as ``out[i] = total``, makes Numba compile its string library for
the message of a shape check. This takes seconds, so the loops assign single numbers.
"""

import sys
from typing import Any

from numba import njit
from numba.core import event

from flatmin._core.progress import CLEAR_LINE

__all__ = ["compiled"]

#: Compiler flags: sums may be reordered, but NaN and infinity keep their meaning.
MATHS = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Any) -> Any:
    """Return a function that is compiled at its first call for each type of arguments, and cached if possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": MATHS}
    try:
        return njit(cache=True, **options)(function)
    except (RuntimeError, OSError):  # neither beside the package nor in the user's own folder
        return njit(**options)(function)


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
