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

__all__ = ["at_once", "multiplied", "shown"]

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
    """Yield an operator with the same products that shows their number on a line of a terminal, from one second on.

    The line has the expected remaining time if ``total`` is the number of products that will be computed. In a block of
    `flatmin._core.progress.listening` the listener is told instead.
    """
    with ExitStack() as line:
        yield _Counted(operator, total, line)


class _Counted:
    """An operator that counts its products, and shows their number on a line that opens after the first second."""

    def __init__(self, operator: Operator, total: int | None, line: ExitStack) -> None:
        self.operator, self.total, self.line = operator, total, line
        self.shape, self.dtype, self.device = operator.shape, operator.dtype, operator.device
        self.count, self.start, self.is_open = 0, time.monotonic(), False
        self.show: Callable[[dict[str, Any]], None] | None = None

    def __matmul__(self, vectors: Tensor) -> Tensor:
        out = self.operator @ vectors
        self.count += vectors.shape[1]
        seconds = time.monotonic() - self.start
        if seconds >= EARLY and not self.is_open:
            self.is_open, self.show = True, self.line.enter_context(progress(True, _words))
        if self.show is not None:
            self.show({"seconds": seconds, "products": self.count, "total": self.total})
        return out


def _words(state: Mapping[str, Any]) -> Iterator[str]:
    """Return the number of products, and the remaining time at the pace so far."""
    done, total = state["products"], state["total"]
    yield f"{done} products" if total is None or done > total else f"{done} of {total} products"
    if total is not None and done < total:
        yield f"about {spoken(state['seconds'] / done * (total - done))} left"
