"""Messages of the library in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flatmin.errors import InputError

__all__ = ["in_options"]

#: What the library calls an argument, where that is not the option's name.
RENAMED = {"the number of measurements": "--measurements"}


@contextmanager
def in_options(arguments: Iterable[str]) -> Iterator[None]:
    """Let an `InputError` about one of the library's arguments name the option that was typed."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for name in arguments:
            if message.startswith(f"{name} is "):
                option = RENAMED.get(name, "--" + name.replace("_", "-"))
                raise InputError(option + message.removeprefix(name)) from error
        raise
