"""joblib's Dask backend, which also tells of tasks that were lost.

joblib 1.4 to 1.6 hears of a Dask task only if it returned: one whose worker was killed too often is never heard of, and
a sweep would wait for it for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["complete_backend"]


class _Lost:
    """What stands for the outcome of a task that was lost."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def complete_backend(client: Any) -> Any:
    """Return the backend for a connected client."""
    from joblib._dask import DaskDistributedBackend  # type: ignore[import-untyped]

    class CompleteDaskBackend(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
            future = super().submit(func, callback)

            def tell(done: Any) -> None:
                error = done.exception()
                if error is not None and callback is not None:
                    callback(_Lost(error))

            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, _Lost):
                raise out.error
            return super().retrieve_result_callback(out)

    return CompleteDaskBackend(client=client)
