"""Limits: the accuracy and effort that a user allows a solver; and the clock that counts the effort."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flatmin._core.validation import real_number, shown, whole_number
from flatmin.errors import InputError

__all__ = ["Callback", "Clock", "Limits"]

Callback = Callable[[dict[str, float]], Any]

#: Smallest values of the whole-numbered limits that a user may set.
LEAST = {"max_rank": 1, "max_iter": 0, "seed": 0}


@dataclass(frozen=True)
class Limits:
    """The accuracy and effort that a user asks of a solver. Arguments out of range raise `InputError`.

    ``tol``, from 1e-14 to 1, is the target for the relative residual, and for the quantity that ``stop`` names: the
    relative duality "gap", or the relative change of the "objective". The time limit is in seconds. The callback
    receives every row of the history.
    """

    max_rank: int | None = None
    tol: float = 1e-8
    max_iter: int | None = None
    time_limit: float | None = None
    seed: int = 0
    callback: Callback | None = None
    stop: str = "gap"

    def __post_init__(self) -> None:
        tol, limit = real_number(self.tol), None if self.time_limit is None else real_number(self.time_limit)
        if not 1e-14 <= tol <= 1:
            raise InputError(f"tol is {shown(self.tol)}, expected a number from 1e-14 to 1")
        if limit is not None and not limit >= 0:
            raise InputError(f"time_limit is {shown(self.time_limit)}, expected a number of at least 0")
        for name, least in LEAST.items():
            count = getattr(self, name)
            if count is None and name != "seed":
                continue
            object.__setattr__(self, name, whole_number(count, name, least))
        if not isinstance(self.stop, str) or self.stop not in ("gap", "objective"):
            raise InputError(f"stop is {shown(self.stop)}, expected 'gap' or 'objective'")
        object.__setattr__(self, "tol", tol)
        object.__setattr__(self, "time_limit", limit)

    def start(self, max_iter: int | None = None) -> Clock:
        """Return a clock that starts now. Its limit on iterations is ``max_iter`` if the user set none."""
        return Clock(max_iter if self.max_iter is None else self.max_iter, self.time_limit)


@dataclass
class Clock:
    """The iterations, products and seconds that all parts of a solve have spent, and whether its limits are reached."""

    max_iter: int | None = None
    time_limit: float | None = None
    iterations: int = 0
    products: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """The number of seconds since the solve began."""
        return time.perf_counter() - self.started

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit is reached."""
        return self.time_limit is not None and self.seconds >= self.time_limit

    @property
    def exhausted(self) -> bool:
        """Whether any limit is reached."""
        return self.out_of_time or (self.max_iter is not None and self.iterations >= self.max_iter)

    def record(self, history: dict[str, list[float]], callback: Callback | None, **progress: float) -> None:
        """Append a row with the present iteration and time to a history, and pass it to the callback."""
        row = {"iteration": self.iterations, "seconds": self.seconds, **progress}
        for name, number in row.items():
            history.setdefault(name, []).append(float(number))
        if callback is not None:
            callback(row)
