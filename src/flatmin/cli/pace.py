"""The progress of a race in words: how many runs are done, and the time that the others will take."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flatmin._core.progress import spoken

__all__ = ["RacePace"]


class RacePace:
    """The words about the progress of a race.

    Work is counted in budgets: 1 for a scored run, ``share`` for a trial. The remaining time follows from the work that
    was done since the start. Runs that were kept from before are done, but are no such work.

    Parameters
    ----------
    trials, seeds : int
        Numbers of runs of each competitor, for tuning and scored.
    share : float
        The share of the budget that a trial may spend.
    clock : callable
        Returns seconds; for tests.
    """

    def __init__(self, trials: int, seeds: int, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._trials, self._seeds, self._share = trials, seeds, share
        self._clock, self._start, self._spent = clock, clock(), 0.0

    def __call__(self, state: Mapping[str, Any]) -> Iterator[str]:
        """Give the words about the run that a race has just finished."""
        tuned, done, total = state["phase"] == "tuning", state["done"], state["total"]
        self._spent += self._share if tuned else 1.0
        yield f"{done} of {total} runs"
        yield f"{'tuned' if tuned else 'ran'} {state['competitor']}"
        if done < total:
            elapsed = self._clock() - self._start
            yield f"about {spoken(elapsed * (self._work(total, total) - self._work(done, total)) / self._spent)} left"

    def _work(self, done: int, total: int) -> float:
        """Return the work of the first runs of all, of which trials come first."""
        trials = total * self._trials // (self._trials + self._seeds)
        return self._share * min(done, trials) + max(0, done - trials)
