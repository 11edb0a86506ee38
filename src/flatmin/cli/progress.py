"""One line about work that goes on, on a terminal only."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["progress"]

Callback = Callable[[dict[str, Any]], None]
CLEAR_LINE = "\r\x1b[K"
#: What is shown of a solver's state, as far as it tells.
SHOWN = {
    "seconds": "{:.1f} s",
    "iteration": "iteration {:.0f}",
    "rank": "rank {:.0f}",
    "residual": "residual {:.1e}",
    "gap": "gap {:.1e}",
}


def of_a_solve(state: Mapping[str, Any]) -> Iterator[str]:
    """Give what a solver tells of itself, in words."""
    for name, template in SHOWN.items():
        value = state.get(name)
        if value is not None and math.isfinite(value):
            yield template.format(value)


@contextmanager
def progress(
    wanted: bool = True, words: Callable[[Mapping[str, Any]], Iterable[str]] = of_a_solve
) -> Iterator[Callback | None]:
    """Give a callback that keeps one line of stderr up to date with ``words``; None if nobody would see it."""
    if not (wanted and sys.stderr.isatty()):
        yield None
        return

    def show(state: dict[str, Any]) -> None:
        sys.stderr.write(CLEAR_LINE + "  ".join(words(state)))
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write(CLEAR_LINE)
        sys.stderr.flush()
