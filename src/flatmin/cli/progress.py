"""One line about a running solve, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

Callback = Callable[[dict[str, float]], None]
CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(wanted: bool = True) -> Iterator[Callback | None]:
    """Give a callback for a solver that keeps one line of stderr up to date; None if nobody would see it."""
    if not (wanted and sys.stderr.isatty()):
        yield None
        return

    def show(state: dict[str, float]) -> None:
        text = f"{state['seconds']:.1f} s  iteration {state['iteration']:.0f}  rank {state['rank']:.0f}"
        sys.stderr.write(f"{CLEAR_LINE}{text}  residual {state['residual']:.1e}  gap {state['gap']:.1e}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write(CLEAR_LINE)
        sys.stderr.flush()
