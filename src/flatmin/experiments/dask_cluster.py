"""Computing cells on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.experiments.places import Cell, by_joblib, compute, one_by_one, reason_of
from flatmin.experiments.recipe import Trial
from flatmin.experiments.store import Result

__all__ = ["DaskCluster"]

#: Trials in flight for each worker: more than for a process, for the way is longer.
AHEAD = 8
#: Seconds to reach a cluster.
PATIENCE = 15


class DaskCluster:
    """On the workers of a Dask cluster, by joblib; as a context, it holds the connection.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://127.0.0.1:8786``.

    Raises
    ------
    InputError
        If Dask is not installed, the scheduler does not answer, or a worker has another version of flatmin.
    """

    def __init__(self, address: str) -> None:
        try:
            distributed = import_module("distributed")
        except ImportError as error:
            raise InputError("--dask needs Dask, which is not installed: pip install 'flatmin[dask]'") from error
        try:
            # First, for a client that could not be made leaves a thread behind that the process waits for.
            import_module("distributed.comm").get_address_host_port(address)
            self.client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            raise InputError(f"no Dask scheduler answers at --dask {address}: {error or 'timeout'}") from error
        try:
            self._check_workers(address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; the cluster goes on."""
        self.client.close()

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Give results as they come."""
        # A backend that has broken down once collects nothing any more, so each round has one of its own.
        options = {"n_jobs": -1, "pre_dispatch": f"{AHEAD} * n_jobs", "batch_size": "auto"}
        return by_joblib(
            cell,
            trials,
            lambda: options | {"backend": _complete_backend(self.client)},
            lambda suspects: self._again(cell, suspects),
        )

    def _again(self, cell: Cell, suspects: Iterable[Trial]) -> Iterator[Result]:
        """Give the results of trials that are made all at once, and of those that are lost again one by one."""
        futures = {self.client.submit(compute, cell, trial, pure=False): trial for trial in suspects}
        lost = []
        while futures:
            future, trial = futures.popitem()
            if future.exception() is None:
                yield future.result()
            else:
                lost.append(trial)
        yield from one_by_one(self._alone, cell, lost)

    def _alone(self, cell: Cell, trial: Trial) -> Result:
        result: Result = self.client.submit(compute, cell, trial, pure=False).result()
        return result

    def _check_workers(self, address: str) -> None:
        try:
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise InputError(f"the Dask cluster at {address} has no worker, expected at least one") from error
        try:
            versions = set(self.client.run(_version_there).values())
        except Exception as error:
            raise InputError(f"the Dask workers cannot use flatmin, install it there: {reason_of(error)}") from error
        if versions != {__version__}:
            raise InputError(f"Dask workers have flatmin {', '.join(sorted(versions))}, expected {__version__} as here")


def _version_there() -> str:
    return __version__


class _Lost:
    """What stands for the outcome of a task that was lost."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _complete_backend(client: Any) -> Any:
    """Return joblib's Dask backend for a connected client, which also tells of tasks that were lost.

    joblib 1.4 to 1.6 hears of a Dask task only if it returned: one whose worker was killed too often is never heard of,
    and a sweep would wait for it for ever.
    """
    from joblib._dask import DaskDistributedBackend

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
