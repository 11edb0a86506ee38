"""Thread limits: blocks of code in which linear algebra runs on one thread.

NumPy and SciPy each bring a pool of BLAS threads, and idle threads of one pool spin while the other works. A problem
whose steps take milliseconds is several times slower on two threads than on one.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["ThreadLimit", "one_thread"]


class ThreadLimit(ABC):
    """The limit of a library to one thread while any block of code asks for it.

    Blocks may be nested and may overlap in several threads. The first block remembers the former number of threads. If
    the library keeps a separate limit for each thread (``per_thread``), a thread is limited from its first block to its
    last one. Otherwise the process is limited from the first block of any thread to the last one.
    """

    def __init__(self, *, per_thread: bool) -> None:
        self.per_thread = per_thread
        self._lock = threading.Lock()
        self._users: list[int] = []
        self._former: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_other_threads)

    @abstractmethod
    def read(self) -> list[int]:
        """Return the present numbers of threads."""

    @abstractmethod
    def limit(self) -> None:
        """Set the numbers of threads to one."""

    @abstractmethod
    def restore(self, former: list[int]) -> None:
        """Set the numbers of threads that `read` returned."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the number of threads at one inside the block."""
        user = threading.get_ident()
        with self._lock:
            if not self._users:
                self._former = self.read()
            if not self._is_limited(user):
                self.limit()
            self._users.append(user)
        try:
            yield
        finally:
            with self._lock:
                self._users.remove(user)
                if not self._is_limited(user):
                    self.restore(self._former)

    def _is_limited(self, user: int) -> bool:
        return user in self._users if self.per_thread else bool(self._users)

    def _forget_other_threads(self) -> None:
        """Drop the blocks of other threads after a fork, because these threads do not exist in the child."""
        user, others = threading.get_ident(), self._users
        self._lock = threading.Lock()
        self._users = [other for other in others if other == user]
        if others and not self._users:
            self.restore(self._former)


class _BlasLimit(ThreadLimit):
    """The limit of the BLAS libraries of NumPy and SciPy whose kind of limit agrees with ``per_thread``."""

    _libraries: list[Any] | None = None

    def read(self) -> list[int]:
        if self._libraries is None:
            self._libraries = [library for library in _blas_libraries() if _is_per_thread(library) == self.per_thread]
        return [library.get_num_threads() for library in self._libraries]

    def limit(self) -> None:
        self._write([1] * len(self._libraries or ()))

    def restore(self, former: list[int]) -> None:
        self._write(former)
        self._release()

    def _write(self, counts: list[int]) -> None:
        self._release()
        for library, count in zip(self._libraries or (), counts, strict=True):
            library.set_num_threads(count)

    def _release(self) -> None:
        """Let any thread set limits. Otherwise newer versions of threadpoolctl obey only the last that did so."""
        for library in self._libraries or ():
            if hasattr(library, "clear_controlling_thread"):
                library.clear_controlling_thread(force=True)


def _blas_libraries() -> list[Any]:
    import scipy.linalg  # noqa: F401  (its library must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers  # type: ignore[no-any-return]


def _is_per_thread(library: Any) -> bool:
    return (library.internal_api, getattr(library, "threading_layer", None)) == ("openblas", "openmp")


_limits = _BlasLimit(per_thread=False), _BlasLimit(per_thread=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run linear algebra on one thread inside the block; blocks may be nested and may overlap in several threads."""
    with _limits[0].hold(), _limits[1].hold():
        yield
