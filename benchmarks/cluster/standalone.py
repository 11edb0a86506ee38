"""A standalone cluster of Spark on this machine: one master and some workers, each a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flatmin.spark.session import DRIVER_STACK, LOGGING

__all__ = ["Standalone", "connected", "standalone"]

HOST = "127.0.0.1"
MASTER, WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
START_SECONDS = 90.0  #: Seconds after which a master that does not answer counts as broken.
DAEMON_MEMORY = "256m"  #: Memory of the Java heap of the master and of each worker, which only start executors.


@dataclass(frozen=True)
class Standalone:
    """A running cluster: its address, and the processes of its workers."""

    url: str
    folder: Path
    workers: tuple[subprocess.Popen[bytes], ...]

    def kill(self, worker: int) -> None:
        """Kill a worker and its executor at once, as if the power of their machine failed."""
        os.killpg(self.workers[worker].pid, signal.SIGKILL)


@contextmanager
def standalone(folder: Path, workers: int, memory: str) -> Iterator[Standalone]:
    """Start a master and ``workers`` workers with one core and ``memory`` (such as "3g") each; end them afterwards."""
    port = _free_port()
    url, started = f"spark://{HOST}:{port}", []
    try:
        started.append(_start(folder, "master", MASTER, "--port", str(port)))
        _wait_for(port, started[0], folder / "master.log")
        for number in range(workers):
            place = folder / f"worker-{number}"
            arguments = ("--cores", "1", "--memory", memory, "--work-dir", str(place), url)
            started.append(_start(folder, f"worker-{number}", WORKER, *arguments))
        yield Standalone(url, folder, tuple(started[1:]))
    finally:
        for process in reversed(started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def connected(cluster: Standalone, executor_memory: str, driver_memory: str) -> Iterator[Any]:
    """Yield a Spark session on all workers of the cluster. It logs its events in the folder of the cluster."""
    from pyspark.sql import SparkSession

    quiet, events = cluster.folder / "log4j2.properties", cluster.folder / "events"
    quiet.write_text(LOGGING)
    events.mkdir()
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": HOST}
    settings = {
        "spark.driver.memory": driver_memory,
        "spark.driver.maxResultSize": "0",
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.extraJavaOptions": f"-Xss{DRIVER_STACK} -Dlog4j2.configurationFile={quiet.as_uri()}",
        "spark.executor.memory": executor_memory,
        "spark.executor.extraJavaOptions": f"-Xss{DRIVER_STACK} -Dlog4j2.configurationFile={quiet.as_uri()}",
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "spark.default.parallelism": str(2 * len(cluster.workers)),
        "spark.sql.shuffle.partitions": str(2 * len(cluster.workers)),
        "spark.scheduler.minRegisteredResourcesRatio": "1",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.logBlockUpdates.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.local.dir": str(cluster.folder),
        "spark.sql.warehouse.dir": str(cluster.folder / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
    }
    builder = SparkSession.builder.master(cluster.url).appName("flatmin")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        spark.sparkContext.setCheckpointDir(str(cluster.folder / "checkpoints"))
        yield spark
    finally:
        spark.stop()


def _start(folder: Path, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a program of Spark in a group of processes of its own, with its output in a file."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    home = Path(found.origin).parent
    environment = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": HOST, "SPARK_DAEMON_MEMORY": DAEMON_MEMORY}
    command = [str(home / "bin" / "spark-class"), program, "--host", HOST, "--webui-port", "0", *arguments]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | environment, cwd=folder, start_new_session=True
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens at a port, or raise `RuntimeError` with the end of its log."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as caller:
            if caller.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the master of Spark does not answer: {log.read_text(errors='replace')[-500:]}")
