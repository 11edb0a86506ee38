"""Progress of long computations as one line of a terminal, with the expected remaining time."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["CLEAR_LINE", "Approach", "listening", "progress", "spoken"]

CLEAR_LINE = "\r\x1b[K"
#: Fields of a history row that are shown, each with its format.
SHOWN = {
    "seconds": "{:.1f} s",
    "iteration": "iteration {:.0f}",
    "rank": "rank {:.0f}",
    "residual": "residual {:.1e}",
    "gap": "gap {:.1e}",
    "change": "change {:.1e}",
}
#: Number of characters of the progress bar.
WIDTH = 20
#: Number of seconds after which the remaining time is shown.
EARLY = 1.0
#: The pace is measured over this last share of the elapsed time.
RECENT = 0.5
Listener = Callable[[dict[str, Any]], None]
#: The function that hears the progress of all computations, None if each shows its own.
LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Pass the progress of all computations in the block to a function, instead of a line for each of them."""
    token = LISTENER.set(listener)
    try:
        yield
    finally:
        LISTENER.reset(token)


@contextmanager
def progress(
    wanted: bool, words: Callable[[Mapping[str, Any]], Iterable[str]]
) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Yield a callback that shows ``words`` on one line of stderr, or None if stderr is not a terminal.

    In a block of `listening` the listener is yielded instead.
    """
    if LISTENER.get() is not None:
        yield LISTENER.get()
        return
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


class Approach:
    """The progress of a solve, computed from the rows of its history.

    A solve ends when its gap (or the change of its objective, if it has no gap) is at most ``target``, or after
    ``time_limit`` seconds. Gap and change shrink by factors, so the bar and the remaining time are linear in their
    logarithms.
    """

    def __init__(self, target: float, time_limit: float | None = None) -> None:
        self._goal, self._limit = target, time_limit
        self._seen: list[tuple[float, float]] = []
        self._name = ""

    def __call__(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Return a bar and the remaining time, if they are known, and the other fields of the row."""
        seconds = row.get("seconds")
        known = [name for name in ("gap", "change") if 0 < abs(row.get(name, 0.0)) < math.inf]
        if known and seconds is not None:
            measure = row[known[0]]
            if known[0] != self._name or seconds < self._seen[-1][0]:  # another phase, or solve, has begun
                self._name = known[0]
                self._seen.clear()
            best = min([math.log(abs(measure)), *(value for _, value in self._seen[-1:])])
            self._seen.append((seconds, best))
            yield from self._bar()
        for name, template in SHOWN.items():
            value = row.get(name)
            if value is not None and math.isfinite(value):
                yield template.format(value)

    @property
    def _target(self) -> float:
        return math.log(self._goal)

    def _bar(self) -> Iterator[str]:
        (_, first), (now, last) = self._seen[0], self._seen[-1]
        share = min(1.0, (first - last) / (first - self._target)) if first > self._target else 1.0
        done = round(WIDTH * share)
        yield "█" * done + "░" * (WIDTH - done)
        left = self._left()
        if left is not None and now >= EARLY and share < 1:
            yield f"about {spoken(left)} left"

    def _left(self) -> float | None:
        """Return the remaining seconds at the recent pace, or None if there was no progress."""
        now, last = self._seen[-1]
        then, before = next((row for row in reversed(self._seen) if row[0] <= RECENT * now), self._seen[0])
        limit = math.inf if self._limit is None else max(0.0, self._limit - now)
        left = (last - self._target) * (now - then) / (before - last) if before > last else math.inf
        return min(left, limit) if min(left, limit) < math.inf else None


def spoken(seconds: float) -> str:
    """Return a time in round numbers, such as "4 s", "100 s", "7 min" or "2.2 h"."""
    if seconds < 60:
        return f"{int(seconds) + 1} s"
    if seconds < 120:
        return f"{int(-(-seconds // 10)) * 10} s"
    return f"{-(-seconds // 60):.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
