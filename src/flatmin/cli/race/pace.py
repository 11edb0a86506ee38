"""The progress of a race in words: the number of finished runs, and the time that the other runs will take."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flatmin._core.progress import spoken

__all__ = ["RacePace"]


class RacePace:
    """The words about the progress of a race.

    Work is counted in budgets: 1 for a scored run, and ``share`` for a run that tunes a step size. Each competitor has
    ``trials`` tuning runs and ``seeds`` scored ones. Runs that an earlier race kept do not count for the speed.
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
        """Return the work in the first ``done`` of all runs; tuning runs come first."""
        trials = total * self._trials // (self._trials + self._seeds)
        return self._share * min(done, trials) + max(0, done - trials)
