"""One line about a running solve, on a terminal only."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

Callback = Callable[[dict[str, float]], None]
CLEAR_LINE = "\r\x1b[K"
#: What is shown of a solver's state, as far as it tells.
SHOWN = {
    "seconds": "{:.1f} s",
    "iteration": "iteration {:.0f}",
    "rank": "rank {:.0f}",
    "residual": "residual {:.1e}",
    "gap": "gap {:.1e}",
}


@contextmanager
def progress(wanted: bool = True) -> Iterator[Callback | None]:
    """Give a callback for a solver that keeps one line of stderr up to date; None if nobody would see it."""
    if not (wanted and sys.stderr.isatty()):
        yield None
        return

    def show(state: dict[str, float]) -> None:
        sys.stderr.write(CLEAR_LINE + "  ".join(_shown(state)))
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write(CLEAR_LINE)
        sys.stderr.flush()


def _shown(state: dict[str, float]) -> Iterator[str]:
    for name, template in SHOWN.items():
        value = state.get(name)
        if value is not None and math.isfinite(value):
            yield template.format(value)
