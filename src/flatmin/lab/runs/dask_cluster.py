"""Executor on the workers of a Dask cluster."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from importlib import import_module
from typing import Any

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.runs.executors import Executor, by_joblib, compute, one_by_one, reason_of
from flatmin.lab.runs.experiment import Cell, Trial
from flatmin.lab.runs.store import Result

__all__ = ["DaskCluster"]

#: Number of trials queued for each worker; larger than for local processes because messages take longer.
QUEUED = 8
#: Largest time to wait for a connection to the cluster, in seconds.
CONNECTION_TIMEOUT = 15
#: Time between checks whether a lost connection is back, in seconds.
POLL_CONNECTION = 0.3


class DaskCluster(Executor):
    """The workers of a Dask cluster; ``address`` is that of the scheduler, for example ``tcp://127.0.0.1:8786``.

    It raises `InputError` if Dask is not installed, no scheduler answers, or a worker has another version of flatmin.

    Examples
    --------
    >>> from flatmin.lab import Store, recipes, sweep
    >>> with Store("trials.db") as store:  # doctest: +SKIP
    ...     sweep(recipes.find("figure-3"), store, executor=DaskCluster("tcp://scheduler:8786"))
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            distributed = import_module("distributed")
        except ImportError as error:
            raise InputError("--dask needs Dask, which is not installed: pip install 'flatmin[dask]'") from error
        try:
            # Checked first, because a client that fails leaves a thread behind that keeps the process alive.
            import_module("distributed.comm").get_address_host_port(address)
            self.client = distributed.Client(address, timeout=CONNECTION_TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            raise InputError(f"no Dask scheduler answers at --dask {address}: {error or 'timeout'}") from error
        try:
            self._check_workers(address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the cluster keeps running."""
        self.client.close()

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Yield results in the order in which they are computed."""
        # joblib's backend does not recover from a breakdown, so each round has a new one.
        options = {"n_jobs": -1, "pre_dispatch": f"{QUEUED} * n_jobs", "batch_size": "auto"}
        return by_joblib(
            cell,
            trials,
            lambda: options | {"backend": _complete_backend(self.client)},
            lambda suspects: self._again(cell, suspects),
        )

    def trouble(self) -> str | None:
        """Return a sentence if the scheduler or the workers are missing, otherwise None."""
        if self.client.status != "running":
            return "the connection to the Dask scheduler is lost"
        try:
            return None if self.client.nthreads() else "the Dask cluster has no worker"
        except Exception as error:
            return f"the Dask scheduler does not answer: {reason_of(error)}"

    def _again(self, cell: Cell, suspects: Iterable[Trial]) -> Iterator[Result]:
        """Run trials again: first all at once, and then one by one those that were lost again."""
        self._wait_for_the_scheduler()
        futures = {self.client.submit(compute, cell, trial, pure=False): trial for trial in suspects}
        lost = []
        while futures:
            future, trial = futures.popitem()
            try:
                result = future.result()
            except Exception:
                lost.append(trial)
            else:
                yield result
        yield from one_by_one(self._alone, cell, lost)

    def _alone(self, cell: Cell, trial: Trial) -> Result:
        while True:
            self._wait_for_the_scheduler()
            try:
                result: Result = self.client.submit(compute, cell, trial, pure=False).result()
            except CancelledError:  # The connection was lost; no cell raises this.
                time.sleep(POLL_CONNECTION)
            else:
                return result

    def _wait_for_the_scheduler(self) -> None:
        """Return when there is a connection. Dask tries to reconnect for some seconds and then gives up."""
        while self.client.status == "connecting":
            time.sleep(POLL_CONNECTION)
        if self.client.status != "running":
            raise InputError(
                f"the Dask scheduler at {self.address} is gone, expected it to stay; what is finished is kept, and the "
                "same command goes on from there with a scheduler that answers"
            )

    def _check_workers(self, address: str) -> None:
        try:
            self.client.wait_for_workers(1, timeout=CONNECTION_TIMEOUT)
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
    """The error of a lost task, which takes the place of the task's result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _complete_backend(client: Any) -> Any:
    """Return joblib's Dask backend for a connected client, extended to report lost tasks.

    joblib 1.5 and 1.6 report a Dask task only if it returns, so that a sweep would wait for ever for a task whose
    worker was killed too often. They also compute locally if the cluster has only one thread, and give up after ten
    seconds without a thread.
    """
    from joblib._dask import DaskDistributedBackend

    class CompleteDaskBackend(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int) -> int:
            threads: int = sum(self.client.ncores().values())
            return max(2, threads)

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
