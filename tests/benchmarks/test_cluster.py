"""The fit on a standalone cluster goes on when a worker is killed, and its log is read rightly."""

import inspect
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from benchmarks.cluster.__main__ import make, table
from benchmarks.cluster.memory import MemoryWatch, descendants, largest
from benchmarks.cluster.traffic import traffic

import flatmin as fm
from flatmin.spark.distributed_cells import DistributedCells

linux = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
#: Seconds after which a fit counts as hanging. It takes half a minute on two idle cores.
HANGING = 900


@linux
def test_memory_of_descendants_counts():
    with MemoryWatch() as watch:
        held = np.ones(4_000_000)
        child = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True)
    assert child.stdout.strip() == b"1"
    assert watch.total >= held.nbytes
    assert os.getpid() in descendants(os.getppid())
    assert largest(os.getpid()) >= held.nbytes


def test_traffic_belongs_to_the_part_of_its_job(tmp_path):
    line = inspect.getsourcelines(DistributedCells.best)[1] + 3
    sweep = f"collect at /any/place/distributed_cells.py:{line}"
    block = {"Block ID": "broadcast_3_piece0", "Memory Size": 7, "Disk Size": 0}
    events = [job([0], "aggregate at ALS.scala:9"), task(0, 5, 100), job([1, 2], sweep), task(2, 11, 0)]
    events += [
        {"Event": "SparkListenerBlockUpdated", "Block Updated Info": block | {"Block Manager ID": {"Executor ID": own}}}
        for own in ("0", "1", "driver", "0", "1")  # reported again when a block is removed
    ]
    log = tmp_path / "events"
    log.write_text("\n".join(map(json.dumps, events)))
    found = traffic(log)
    assert found["als"] == {"jobs": 1, "collected": 5, "shuffled": 100, "processor": 1.0, "running": 2.0}
    assert found["sweeps"] == {
        "jobs": 1,
        "collected": 11,
        "shuffled": 0,
        "processor": 1.0,
        "running": 2.0,
        "broadcast": 14,
    }


def job(stages, name):
    return {"Event": "SparkListenerJobStart", "Stage IDs": stages, "Stage Infos": [{"Stage Name": name}]}


def task(stage, collected, shuffled):
    written = {"Shuffle Bytes Written": shuffled}
    times = {"Executor CPU Time": 1e9, "Executor Run Time": 2000}
    metrics = {"Result Size": collected, "Shuffle Write Metrics": written, **times}
    return {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": metrics}


@linux
@pytest.mark.slow
def test_a_fit_goes_on_when_a_worker_is_killed(tmp_path):
    pytest.importorskip("pyspark")
    parquet = pytest.importorskip("pyarrow.parquet")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java on this machine")
    store, count = tmp_path / "cluster.jsonl", 20_000
    options = ("--cells", str(count), "--workers", "2", "--kill", "1", "--memory", "1g", "--store", str(store))
    fit = subprocess.Popen([sys.executable, "-m", "benchmarks.cluster", "fit", *options], stderr=subprocess.PIPE)
    try:
        said = fit.communicate(timeout=HANGING)[1].decode(errors="replace")
    finally:
        if fit.poll() is None:
            fit.terminate()  # ends the cluster, too
            fit.wait(60)
    assert fit.returncode == 0, said[-2000:]
    line = json.loads(store.read_text())
    assert line["executors"] == [2, 1]
    assert line["holds"]
    assert line["sweeps"] > 1
    assert "after sweep 1" in table([line])

    make(tmp_path / "cells", count)
    cells = parquet.read_table(tmp_path / "cells").to_pydict()
    pairs = np.column_stack([cells["row"], cells["column"]])
    alone = fm.PairRegressor(0.3, offsets="none", refit=False).fit(pairs, cells["value"])
    assert line["value"] == pytest.approx(alone.certificate_.value, rel=1e-6)
