"""What is said where Spark, Java or what Spark's ALS can do is missing: one sentence, before anything starts."""

import os
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest

import flatmin as fm
from flatmin.spark import SparkCompletion
from flatmin.spark import session as session_module

from .conftest import EAGER, require_java

PAIRS, VALUES = [(0, 1), (0, 2), (1, 1)], [1.0, 2.0, 3.0]
ARRAYS = np.array([0, 0, 1]), np.array([1, 0, 1]), np.array([1.0, 2.0, 3.0])


def model(**settings):
    return fm.PairRegressor(**{"alpha": 0.1, "engine": "spark"} | settings)


@pytest.fixture
def nothing_runs(monkeypatch):
    """As if no Spark had been started, and none could be."""
    monkeypatch.setattr(session_module, "_runs", lambda: False)
    monkeypatch.setattr(session_module, "_start", lambda directory: pytest.fail("Spark was started"))
    monkeypatch.setattr(session_module, "_active", lambda: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)


def fake_java(folder, version, status=0):
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2022-01-01' >&2\nexit {status}\n")
    program.chmod(0o755)
    return program


def test_no_java(nothing_runs, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        fm.InputError, match=r"^Spark needs Java, and no java is on the PATH and JAVA_HOME is not set; "
    ):
        model().fit(PAIRS, VALUES)
    with pytest.raises(fm.InputError, match=r"expected Java 17 or later: install it, .* or use engine='local'$"):
        SparkCompletion.fit("there/is/none.parquet", alpha=0.1)


def test_java_home_without_java(nothing_runs, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(fm.InputError, match=r"JAVA_HOME is .*, where there is none; expected Java 17"):
        model().fit(PAIRS, VALUES)


@pytest.mark.parametrize(("version", "said"), [("1.8.0_292", "8"), ("11.0.2", "11"), ("16", "16")])
@pytest.mark.parametrize("place", ["PATH", "JAVA_HOME"])
def test_old_java(nothing_runs, monkeypatch, tmp_path, version, said, place):
    program = fake_java(tmp_path, version)
    monkeypatch.setenv(place, str(tmp_path if place == "JAVA_HOME" else f"{program.parent}:/bin"))
    with pytest.raises(fm.InputError, match=f"java has version {said}; expected Java 17 or later"):
        model().fit(PAIRS, VALUES)


def test_broken_java(nothing_runs, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    fake_java(tmp_path, "17.0.1", status=3)
    with pytest.raises(fm.InputError, match=r"says .*; expected Java 17"):
        session_module.java()


@pytest.mark.parametrize("version", ["17.0.21", "21", "25-ea"])
def test_new_java_is_found(nothing_runs, monkeypatch, tmp_path, version):
    program = fake_java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert session_module.java() == program


@pytest.mark.parametrize("name", ["pyspark", "pyarrow"])
def test_not_installed(nothing_runs, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=rf"^Spark needs {name}, which is not installed: pip install 'flatmin\[spark\]'$"
    ):
        model().fit(PAIRS, VALUES)


def test_the_package_itself_does_not_load_spark():
    code = "import sys, flatmin, flatmin.spark; flatmin.PairRegressor(); print('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


REFUSED = {
    "alpha is 'auto' with engine='spark', expected a positive number": {"alpha": "auto"},
    "alpha is 0 with engine='spark', expected a positive number": {"alpha": 0},
    "alpha is -1, expected": {"alpha": -1},
    "metric_power is 0.5 with engine='spark', expected 1": {"metric_power": 0.5},
    "metric_power is True with engine='spark'": {"metric_power": True},
    "refit is True with engine='spark', expected 'auto' or False": {"refit": True},
    "offsets is 'both' with engine='spark', expected 'auto' or 'none'": {"offsets": "both"},
    "offset_alpha is 2.0 with engine='spark', expected 'auto'": {"offset_alpha": 2.0},
    r"offset_alpha is \(1, 2\) with engine='spark', expected 'auto'": {"offset_alpha": (1, 2)},
    "verbose is -1, expected a whole number": {"verbose": -1},
    "engine is 'dask', expected 'auto', 'local' or 'spark'": {"engine": "dask"},
    "stop is 'objective' with engine='spark', expected 'gap'": {"stop": "objective"},
    "rank is 0, expected a whole number": {"max_rank": 0},
    "max_iter is 0, expected a whole number": {"max_iter": 0},
    "tol is 0, expected a number": {"tol": 0},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_the_engine_does_not_do(nothing_runs, sentence):
    with pytest.raises(fm.InputError, match=f"^{sentence}"):
        model(**REFUSED[sentence]).fit(PAIRS, VALUES)


def test_data_that_the_engine_does_not_take(nothing_runs):
    with pytest.raises(fm.InputError, match="sample_weight was given with engine='spark'"):
        model().fit(PAIRS, VALUES, sample_weight=[1, 2, 3])
    with pytest.raises(fm.InputError, match="y is None"):
        model().fit(PAIRS)
    with pytest.raises(fm.InputError, match="y is not a list of names"):
        model().fit("ratings.parquet", VALUES)
    with pytest.raises(fm.InputError, match="y is not a list of names"):
        model().fit("ratings.parquet", "ufr")
    with pytest.raises(fm.InputError, match="the source is a dict"):
        SparkCompletion.fit({}, alpha=0.1)
    with pytest.raises(ValueError, match="inconsistent"):
        model().fit(PAIRS, VALUES[:2])
    with pytest.raises(fm.InputError, match="the values contains NaN or infinity"):
        SparkCompletion.fit((*ARRAYS[:2], np.array([1, np.nan, 2])), alpha=0.1)
    with pytest.raises(fm.InputError, match="expected positions of at least 0"):
        SparkCompletion.fit((ARRAYS[0] - 1, *ARRAYS[1:]), alpha=0.1)
    with pytest.raises(fm.InputError, match="lengths 3, 2 and 3"):
        SparkCompletion.fit((ARRAYS[0], ARRAYS[1][:2], ARRAYS[2]), alpha=0.1)


def test_the_local_engine_reads_no_files():
    with pytest.raises(fm.InputError, match="X is a path, expected arrays, or engine='spark'"):
        fm.PairRegressor(0.1).fit("ratings.parquet")
    fitted = fm.PairRegressor(0.1).fit(PAIRS, VALUES)
    with pytest.raises(fm.InputError, match="expected pairs of ids"):
        fitted.predict("ratings.parquet")


def test_auto_is_the_local_engine():
    one, other = (fm.PairRegressor(0.1, engine=e).fit(PAIRS, VALUES) for e in ("auto", "local"))
    assert np.array_equal(one.row_factors_, other.row_factors_)
    assert not hasattr(one, "spark_model_")


ALONE = textwrap.dedent("""
    import os, signal, subprocess, sys, numpy as np, flatmin as fm
    import pyspark.java_gateway as launching
    from types import SimpleNamespace
    from pyspark import SparkContext
    from pyspark.sql import SparkSession
    from flatmin.spark.session import session

    started = []

    class Watched(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupted(*args):
        raise KeyboardInterrupt

    launching.Popen = Watched
    # Ctrl-C while pyspark waits for Java, and while its context is made
    for owner, name, double in (
        (launching, "time", SimpleNamespace(sleep=interrupted)),
        (SparkContext, "_do_init", interrupted),
    ):
        kept = getattr(owner, name)
        setattr(owner, name, double)
        try:
            with session():
                print("started nevertheless")
        except KeyboardInterrupt:
            print("ended:", started[-1].poll() is not None, len(started))
        setattr(owner, name, kept)
    before = signal.getsignal(signal.SIGINT)
    if sys.argv[1] == "fit":
        rng = np.random.default_rng(0)
        pairs = np.argwhere(rng.random((20, 15)) < 0.7)
        model = fm.PairRegressor(0.5, engine="spark", tol=1e-2, max_rank=3, max_iter=4)
        print(model.fit(pairs, rng.standard_normal(len(pairs))).rank_)
    else:
        with session() as spark:
            print(spark.range(3).count())
    print(SparkSession.getActiveSession(), SparkContext._active_spark_context, os.listdir())
    print(os.environ.get("PYSPARK_PYTHON"), signal.getsignal(signal.SIGINT) is before)
    print(started[-1].poll(), len(started), started[-1].pid)
""")


@pytest.mark.slow
@pytest.mark.parametrize("work", ["count", pytest.param("fit", marks=pytest.mark.slow)])
def test_a_session_of_our_own_leaves_nothing_behind(tmp_path, work):
    require_java()
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    environment["JDK_JAVA_OPTIONS"] = EAGER
    command = [sys.executable, "-c", ALONE, work]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["ended: True 1", "ended: True 2"]
    assert lines[2] in ("1", "2", "3")
    assert lines[3] == "None None []"
    assert lines[4] == "None True"
    assert lines[5].startswith("None 3 ")  # Java waits for the next session …
    assert _ends(int(lines[5].split()[2]))  # … and not longer than Python runs
    noise = [line for line in done.stderr.splitlines() if "Warning" not in line and not line.startswith("  ")]
    assert noise == []
    assert not list(tmp_path.iterdir())


KILLED = """
from pyspark import SparkContext
from flatmin.errors import InputError
from flatmin.spark.session import session

def kill():
    SparkContext._gateway.proc.kill()
    SparkContext._gateway.proc.wait()

try:
    with session() as spark:
        kill()
        spark.range(3).count()
except InputError as error:
    print(error)
for _ in range(2):
    with session() as spark:
        print(spark.range(3).count())
    kill()
"""


@pytest.mark.slow
def test_a_java_process_that_is_killed_is_one_sentence_and_the_next_session_starts_another(tmp_path):
    require_java()
    environment = {**os.environ, "JDK_JAVA_OPTIONS": EAGER}
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    sentence, *counts = done.stdout.splitlines()
    assert sentence.startswith("the Java process of Spark ended with status -9 during the work, expected it to last; ")
    assert counts == ["3", "3"]


@pytest.mark.parametrize("trouble", ["they have no pyarrow, flatmin", "No module named 'flatmin'"])
def test_workers_that_lack_what_a_fit_needs(trouble):
    def collect():
        if trouble.startswith("they"):
            return ["pyarrow", "flatmin"]
        raise RuntimeError(trouble)

    job = SimpleNamespace(collect=collect)
    context = SimpleNamespace(parallelize=lambda *_: SimpleNamespace(flatMap=lambda _: job))
    with pytest.raises(fm.InputError, match=f"cannot run flatmin: {trouble}; expected .* PYSPARK_PYTHON"):
        session_module._expect_workers(SimpleNamespace(sparkContext=context))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"values": [1e39, 1.0]}, "numbers beyond those of 32 bits"),
        ({"values": [np.nan, 1.0]}, "the values"),
        ({"tol": -1.0}, "tol is -1.0, expected a number from 0 to 1"),
        ({"tol": np.nan}, "tol is nan, expected a number from 0 to 1"),
    ],
)
def test_arrays_and_tolerances_that_cannot_be_used(change, sentence):
    given = {"values": [2.0, 1.0], "tol": 1e-6} | change
    with pytest.raises(fm.InputError, match=sentence):
        SparkCompletion.fit(([0, 1], [1, 0], given["values"]), alpha=0.1, tol=given["tol"])


def _ends(pid, seconds=60):
    """Return whether a process ends within some seconds."""
    for _ in range(10 * seconds):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


AFTERWARDS = """
import sys
from pyspark.sql import SparkSession
from flatmin.spark.session import session

with session() as spark:
    spark.range(3).count()
own = SparkSession.builder.master("local[1]").config("spark.local.dir", sys.argv[1]).getOrCreate()
print(own.sparkContext._temp_dir)
"""


@pytest.mark.slow
def test_a_later_session_of_the_user_keeps_its_files_where_it_wants(tmp_path):
    """Else they would lie in our directory, which the next process takes for that of a killed one, and removes."""
    require_java()
    done = subprocess.run([sys.executable, "-c", AFTERWARDS, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.startswith(str(tmp_path)), done.stderr
