"""The command line: it reads files, calls the library and writes results."""

import errno
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

__all__ = ["main"]

INTERRUPTED = 130
#: Errors of a full or broken device behind stdout.
UNPRINTED = (errno.ENOSPC, errno.EIO)
#: Settings of streams with which a character that cannot be encoded ends with an exception; the second is that of the
#: locale "C".
UNFORGIVING = ("strict", "surrogateescape")
#: Receives the messages of libraries, which are no concern of users; without it they would stand on stderr.
SILENT = logging.NullHandler()
#: Longest message, in characters.
LONGEST_MESSAGE = 2000
#: Bytes of addresses below which a command may wait for ever, in C, where no signal ends it: OpenBLAS reserves some for
#: each thread, and asks again until it gets them. Measured on Linux with two cores: ``--version`` ends from 300 MB on,
#: ``impute`` from 600 MB on.
LEAST_ADDRESSES = 800 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``flatmin`` and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those with which this process was started.

    Returns
    -------
    int
        0 for success, 1 for a result without a certificate, 2 for bad input or usage (with one line on stderr), 130
        after Ctrl-C.

    Examples
    --------
    >>> main(["--version"])
    flatmin 0.1.0
    0
    """
    _end_cleanly_when_terminated()
    _make_printable()
    try:
        if "numpy" not in sys.modules and (limit := _limit_of_addresses()) < LEAST_ADDRESSES:
            least = LEAST_ADDRESSES >> 10
            _complain(f"the limit of memory is {limit >> 10} KiB, expected at least {least}; raise it (ulimit -v)")
            return 2
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # also while modules are loading
        return INTERRUPTED
    except ImportError as error:
        _complain(f"a library cannot be loaded: {error.__cause__ or error}; install flatmin again, or free memory")
        return 2


def _limit_of_addresses() -> int:
    """Return the soft limit of this process's addresses in bytes, which only POSIX has."""
    try:
        import resource
    except ImportError:
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _run(arguments: list[str]) -> int:
    """Run ``flatmin`` and return its exit status; an error is one line on stderr."""
    import typer
    from numpy.linalg import LinAlgError

    from flatmin.cli.application import command
    from flatmin.errors import InputError

    logging.getLogger().addHandler(SILENT)
    usage_error: Any = typer.BadParameter.__base__
    code = 2
    try:
        _check_text(arguments)
        result = command(arguments).main(arguments, prog_name="flatmin", standalone_mode=False)
        sys.stdout.flush()
        return int(result or 0)
    except (InputError, usage_error) as error:
        message = str(error) if isinstance(error, InputError) else error.format_message()
    except MemoryError as error:
        message = f"there is not enough memory: {error}" if str(error) else "there is not enough memory"
    except LinAlgError as error:
        message = f"the computation broke down ({error}); if numbers of the input are extremely large or small, rescale"
    except BrokenPipeError:
        sys.stdout = None  # the reader of the pipe has closed it
        return 1
    except OSError as error:
        message = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        if error.errno in UNPRINTED:
            code, message, sys.stdout = 1, f"the outcome cannot be printed: {message}", None
        elif isinstance(error, FileNotFoundError) and not error.filename:
            message = "the working directory has been deleted; change to another one"
    except typer.Abort:
        return INTERRUPTED
    _complain(message)
    return code


def _complain(message: str) -> None:
    """Print a message as one line on stderr."""
    with suppress(OSError):
        print(f"flatmin: {_one_line(message)}", file=sys.stderr)


def _check_text(arguments: list[str]) -> None:
    """Raise `InputError` if a word is no text: names of files in other encodings have no place in a report."""
    from flatmin.errors import InputError

    for word in arguments:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise InputError(f"the name {word!r} is not text in UTF-8, expected another name of the file")


def _one_line(message: str) -> str:
    """Return a message as one line, in which signs that steer terminals are written in letters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[:LONGEST_MESSAGE]}…"


def _make_printable() -> None:
    """Replace characters that stdout and stderr cannot encode by question marks, and streams that are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in UNFORGIVING:
            stream.reconfigure(errors="replace")


def _end_cleanly_when_terminated() -> None:
    """Make SIGTERM end the program as Ctrl-C does, so that temporary files are removed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


__dir__ = __all__.copy
