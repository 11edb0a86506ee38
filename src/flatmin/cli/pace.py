"""How far a race is, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flatmin._core.progress import spoken

__all__ = ["Pace"]

#: Seconds within which the next run is finished only if it was there already.
AT_ONCE = 0.01


class Pace:
    """The words about a race that goes on, told of each finished run.

    The time left is what the work took that was done since the start, for the work that is left. Runs that were kept
    from before come at once; they count as done, not as speed.

    Parameters
    ----------
    trials, seeds : int
        Runs of each competitor, for tuning and scored.
    share : float
        The part of the budget that a trial may spend.
    clock : callable
        Seconds, for tests.
    """

    def __init__(self, trials: int, seeds: int, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = {"tuning": share, "race": 1.0}
        self._each = (trials * share + seeds) / (trials + seeds)
        self._done = self._made = 0.0
        self._clock = clock
        self._start = self._last = clock()

    def __call__(self, state: Mapping[str, Any]) -> Iterator[str]:
        """Give the words about the run that a race has just finished."""
        now, work = self._clock(), self._work[state["phase"]]
        self._done += work
        if now - self._last > AT_ONCE:
            self._made += work
        elif not self._made:
            self._start = now
        self._last = now
        left = self._each * state["total"] - self._done
        yield f"{state['done']} of {state['total']} runs"
        yield f"{'tuned' if state['phase'] == 'tuning' else 'ran'} {state['competitor']}"
        if self._made and state["done"] < state["total"]:
            yield f"about {spoken((now - self._start) * left / self._made)} left"
