"""The command line: it reads files, calls the library and writes results."""

import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]

INTERRUPTED = 130


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
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # also while modules are loading
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    """Run ``flatmin`` and return its exit status; an error is one line on stderr."""
    import typer
    from numpy.linalg import LinAlgError

    from flatmin.cli.application import command
    from flatmin.errors import InputError

    usage_error: Any = typer.BadParameter.__base__
    try:
        result = command(arguments).main(arguments, prog_name="flatmin", standalone_mode=False)
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
    except typer.Abort:
        return INTERRUPTED
    print(f"flatmin: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _end_cleanly_when_terminated() -> None:
    """Make SIGTERM end the program as Ctrl-C does, so that temporary files are removed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


__dir__ = __all__.copy
