"""One thread for many small operations.

NumPy and SciPy bring a pool of BLAS threads each, and idle threads of one spin while the other works: on a problem
whose steps take milliseconds, two cores are several times slower than one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["one_thread"]


class _Limit:
    """The limit on threads of linear algebra, a setting of the process, and how many blocks ask for it now."""

    def __init__(self) -> None:
        self.lock, self.blocks, self.kept = threading.Lock(), 0, None

    def enter(self) -> None:
        with self.lock:
            if self.blocks == 0:
                _take()
                self.kept = _controller().limit(limits=1, user_api="blas")
            self.blocks += 1

    def leave(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0 and self.kept is not None:
                _take()
                self.kept.restore_original_limits()
                self.kept = None


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    # A lock that another thread held would stay locked in the child.
    os.register_at_fork(after_in_child=lambda: setattr(_limit, "lock", threading.Lock()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run linear algebra on one thread inside the block; the number of threads is restored behind it.

    Of blocks that overlap, in several threads, the first sets and the last restores.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def _take() -> None:
    """Make this thread the one that threadpoolctl listens to; newer versions listen to the first one that spoke."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  (its library must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
