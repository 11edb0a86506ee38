"""One thread for many small operations.

NumPy and SciPy bring a pool of BLAS threads each, and idle threads of one spin while the other works: on a problem
whose steps take milliseconds, two cores are several times slower than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run linear algebra on one thread inside the block; the number of threads is restored behind it."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  (its library must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
