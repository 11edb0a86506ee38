"""Products of an operator with vectors, a few at a time, with a line of progress and a way to stop early."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from flatmin._core.progress import EARLY, progress, spoken
from flatmin.nn.estimators.base import Operator

__all__ = ["Count", "at_once", "counting", "multiplied", "shown"]

#: Number of vectors that are multiplied at once, and the largest number of their entries.
_VECTORS_AT_ONCE, _NUMBERS_AT_ONCE = 32, 1 << 26

_log = logging.getLogger(__name__)


def at_once(operator: Operator) -> int:
    """Return the number of vectors that are multiplied at once."""
    return min(_VECTORS_AT_ONCE, max(1, _NUMBERS_AT_ONCE // int(operator.shape[0])))


def multiplied(operator: Operator, vectors: Tensor) -> Tensor:
    """Return the products with the columns of ``vectors``, (n, k).

    The products are computed a few at a time. An interrupt (Ctrl-C) ends them, and the result then has fewer columns,
    those of the first vectors. The caller must look, and raise `KeyboardInterrupt` if these are too few.
    """
    parts: list[Tensor] = []
    for part in torch.split(vectors, at_once(operator), dim=1):
        try:
            parts.append(operator @ part)
        except KeyboardInterrupt:
            _log.warning("interrupted in the middle of %d products, of which %d are used", *_counts(vectors, parts))
            break
    return parts[0] if len(parts) == 1 else torch.cat([vectors[:, :0], *parts], 1)


def _counts(vectors: Tensor, parts: list[Tensor]) -> tuple[int, int]:
    return vectors.shape[1], sum(part.shape[1] for part in parts)


@contextmanager
def shown(operator: Operator, total: int | None = None) -> Iterator[Operator]:
    """Yield an operator with the same products that shows their number, see `counting`."""
    with counting(total, "products") as count:
        yield _Counted(operator, count)


@contextmanager
def counting(total: int | None, unit: str) -> Iterator["Count"]:
    """Yield the count of the steps of a computation, which is shown on a line of a terminal, from one second on.

    The line has the expected remaining time if ``total`` is the number of steps that will be computed. ``unit`` is what
    a step computes, in the plural. In a block of `flatmin._core.progress.listening` the listener is told instead.
    """
    with ExitStack() as line:
        yield Count(total, unit, line)


class Count:
    """The number of steps of a computation, shown on a line that opens after the first second."""

    def __init__(self, total: int | None, unit: str, line: ExitStack) -> None:
        self.total, self.unit, self.line = total, unit, line
        self.number, self.start, self.is_open = 0, time.monotonic(), False
        self.show: Callable[[dict[str, Any]], None] | None = None

    def add(self, steps: int) -> None:
        """Count further steps."""
        self.number += steps
        seconds = time.monotonic() - self.start
        if seconds >= EARLY and not self.is_open:
            self.is_open, self.show = True, self.line.enter_context(progress(True, _words))
        if self.show is not None:
            self.show({"seconds": seconds, self.unit: self.number, "unit": self.unit, "total": self.total})


class _Counted:
    """An operator that counts its products."""

    def __init__(self, operator: Operator, count: Count) -> None:
        self.operator, self.count = operator, count
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        out = self.operator @ vectors
        self.count.add(vectors.shape[1])
        return out


def _words(state: Mapping[str, Any]) -> Iterator[str]:
    """Return the number of steps, and the remaining time at the pace so far."""
    unit, total = state["unit"], state["total"]
    done = state[unit]
    yield f"{done} {unit}" if total is None or done > total else f"{done} of {total} {unit}"
    if total is not None and done < total:
        yield f"about {spoken(state['seconds'] / done * (total - done))} left"
