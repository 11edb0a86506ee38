"""Spark sessions: the session of the user, or else a temporary local one."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flatmin._core.files import temporary_directory
from flatmin._core.memory import available_bytes
from flatmin.errors import InputError
from flatmin.spark.triples import reason

__all__ = ["is_frame", "java", "require_spark", "session"]

#: Beginning of the names of the temporary directories of local sessions.
MARK = "flatmin-spark-"
#: Oldest version of Java on which Spark 4 runs.
OLDEST_JAVA = 17
#: Size of the stack of Spark's driver, which processes long plans recursively.
DRIVER_STACK = "64m"
#: Share of the free memory that a local session may take.
MEMORY_SHARE = 0.4
#: Smallest memory of a local session, in GiB.
MIN_MEMORY = 1
#: Largest memory of a local session, in GiB.
MAX_MEMORY = 16

LOGGING = """
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n
"""


def is_frame(X: Any) -> bool:
    """Return whether X is a Spark DataFrame, without importing Spark."""
    return any(cls.__module__.startswith("pyspark.sql") and cls.__name__ == "DataFrame" for cls in type(X).__mro__)


def java() -> Path:
    """Return the path of the Java that Spark would start, or raise `InputError` if it is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    found = Path(home, "bin", "java") if home else Path(shutil.which("java") or "")
    package = f"openjdk-{OLDEST_JAVA}-jre-headless"
    advice = f"expected Java {OLDEST_JAVA} or later: install it, for example {package}, or use engine='local'"
    if home and not found.is_file():
        raise InputError(f"Spark needs Java, and JAVA_HOME is {home}, where there is none; {advice}")
    if not found.is_file():
        raise InputError(f"Spark needs Java, and no java is on the PATH and JAVA_HOME is not set; {advice}")
    try:
        # The program is the Java that Spark itself would start, from the user's own settings.
        answer = subprocess.run([str(found), "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"Spark needs Java, and {found} cannot be started: {error}; {advice}") from error
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if version is None or answer.returncode:
        lines = (answer.stderr + answer.stdout).strip().splitlines()
        raise InputError(f"Spark needs Java, and {found} says {lines[0] if lines else 'nothing'!r}; {advice}")
    if int(version[1]) < OLDEST_JAVA:
        raise InputError(f"Spark needs Java, and {found} has version {version[1]}; {advice}")
    return found


def require_spark() -> None:
    """Raise `ImportError` if pyspark or pyarrow is missing, and `InputError` if Java is missing or too old.

    Java is not checked if this process has started Spark already.
    """
    for name in ("pyspark", "pyarrow"):
        if sys.modules.get(name, True) is None or (name not in sys.modules and find_spec(name) is None):
            raise ImportError(f"Spark needs {name}, which is not installed: pip install 'flatmin[spark]'")
    if not _runs():
        java()


@contextmanager
def session(owner: Any = None) -> Iterator[Any]:
    """Yield a SparkSession: that of the DataFrame ``owner``, else the active one, else a local one.

    The local session is stopped afterwards. It uses all cores of this machine, has no web page, and keeps its files and
    its log in a temporary directory; directories that killed processes left are removed. Its Java process is used again
    by later sessions and ends with this process, or at once if the start is interrupted. To use a cluster, start a
    session first. Errors are those of `require_spark`, and `InputError` for a session of Spark Connect, which has no
    RDDs, and if the Java process ends in the middle.
    """
    require_spark()
    logger = logging.getLogger("DataFrameQueryContextLogger")  # repeats exceptions as JSON
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of pyspark, about versions of pandas
        logger.setLevel(logging.CRITICAL)
        try:
            found = owner.sparkSession if owner is not None else _active()
            if found is not None:
                if "connect" in type(found).__module__:
                    raise InputError("the session is one of Spark Connect, expected a classic session, which has RDDs")
                _expect_workers(found)
                yield found
                return
            with temporary_directory(Path(tempfile.gettempdir()), MARK) as directory, _interrupts():
                own = _start(directory)
                with _java_expected():
                    try:
                        yield own
                    finally:
                        java = own.sparkContext._jvm
                        own.stop()
                        _forget_directory(java)
        finally:
            logger.setLevel(level)


def _forget_directory(java: Any) -> None:
    """Let later sessions of a Java process choose directories: Spark would use that of the first one, which is gone."""
    with suppress(Exception):  # Java may have ended, and another version of Spark may not have this method
        getattr(getattr(java.org.apache.spark.util, "Utils$"), "MODULE$").clearLocalRootDirs()


def _runs() -> bool:
    """Return whether this process has started the Java process of Spark already."""
    if "pyspark" not in sys.modules:
        return False
    context = import_module("pyspark").SparkContext
    return context._gateway is not None or "SPARK_CONNECT_MODE_ENABLED" in os.environ


def _expect_workers(spark: Any) -> None:
    """Raise `InputError` unless the workers of a user's session have what a fit needs."""

    def lacking(_: int) -> list[str]:  # sent by its code, as it stands inside a function
        import importlib.util

        return [name for name in ("flatmin", "numpy", "pyarrow") if importlib.util.find_spec(name) is None]

    try:
        missing = spark.sparkContext.parallelize([0], 1).flatMap(lacking).collect()
        fault = f"they have no {', '.join(missing)}" if missing else ""
    except Exception as error:  # of Java or of Python there, whatever it is
        fault = reason(error)
    if fault:
        raise InputError(
            f"the workers of this Spark session cannot run flatmin: {fault}; expected the Python of this process, or "
            "one with flatmin[spark], in the environment variable PYSPARK_PYTHON before the session starts"
        )


def _active() -> Any:
    """Return the active session of the user, or None."""
    sql = import_module("pyspark.sql")
    found = sql.SparkSession.getActiveSession()
    if found is None and import_module("pyspark").SparkContext._active_spark_context is not None:
        return sql.SparkSession.builder.getOrCreate()
    return found


def _start(directory: Path) -> Any:
    """Start a session that keeps all its files, with the log, in a directory."""
    if _status_of_java() is not None:
        _forget_java()
    builder = import_module("pyspark.sql").SparkSession.builder
    quiet = directory / "log4j2.properties"
    quiet.write_text(LOGGING)
    memory = int(min(max(MEMORY_SHARE * available_bytes() / 2**30, MIN_MEMORY), MAX_MEMORY))
    settings = {
        "spark.driver.memory": f"{memory}g",
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraJavaOptions": f"-Xss{DRIVER_STACK} -Dlog4j2.configurationFile={quiet.as_uri()} "
        f"-Dderby.system.home={directory}",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.local.dir": str(directory),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
    }
    builder = builder.master("local[*]").appName("flatmin")
    for name, value in settings.items():
        builder = builder.config(name, value)
    chosen, idle = os.environ.get("PYSPARK_PYTHON"), _runs()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers are whatever python3 is on the PATH
    try:
        with _quiet(directory / "spark.log"):
            own = builder.getOrCreate()
        own.sparkContext.setCheckpointDir(str(directory / "checkpoints"))
        return own
    except BaseException as error:
        if not idle:
            _end_java(error)
        if not isinstance(error, Exception):
            raise
        lines = (directory / "spark.log").read_text(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else error
        raise InputError(f"Spark could not be started, expected a local session: {reason}") from error
    finally:
        if chosen is None:
            del os.environ["PYSPARK_PYTHON"]


@contextmanager
def _java_expected() -> Iterator[None]:
    """Turn an error that arises because the Java process has ended into an `InputError`, and let the next fit start."""
    try:
        yield
    except Exception as error:
        status = _status_of_java()
        if status is None:
            raise
        _end_java(error)
        raise InputError(
            f"the Java process of Spark ended with status {status} during the work, expected it to last; if the system "
            "killed it, memory may be short: use fewer values, or a cluster"
        ) from error


def _status_of_java() -> int | None:
    """Return the exit status of the Java process that this process started; None while it runs, or without one."""
    process = getattr(import_module("pyspark").SparkContext._gateway, "proc", None)
    return None if process is None else process.poll()


def _end_java(error: BaseException) -> None:
    """End the Java process of a failed start, and reset pyspark. Perhaps only frames of the error know the process."""
    context = import_module("pyspark").SparkContext
    known = [context._gateway.proc] if context._gateway is not None else []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        known += [value for value in frame.f_locals.values() if isinstance(value, subprocess.Popen)]
    for process in known:
        if getattr(process, "pid", None) is not None:
            process.kill()
            process.wait()
    _forget_java()


def _forget_java() -> None:
    """Let pyspark start another Java process."""
    context = import_module("pyspark").SparkContext
    context._gateway = context._jvm = context._active_spark_context = None
    import_module("pyspark.sql").SparkSession._instantiatedSession = None


@contextmanager
def _interrupts() -> Iterator[None]:
    """Restore the handler of Ctrl-C afterwards, since pyspark replaces it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Redirect the standard error of programs that are started meanwhile to a file."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 2)
            yield
    finally:
        os.dup2(before, 2)
        os.close(before)
