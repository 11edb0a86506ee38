"""One Spark session for all tests of this folder, and ratings that are known to fit."""

import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

for name in ("pyspark", "pyarrow"):
    pytest.importorskip(name)


def sample(shape=(70, 50), rank=2, share=0.45, noise=0.3, seed=0):
    """Return positions and values of noisy cells, some of them seen twice, every row and column among them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    i, j = np.nonzero(rng.random(shape) < share)
    i, j = np.concatenate([i, i[:40]]), np.concatenate([j, j[:40]])
    order = rng.permutation(len(i))
    i, j = i[order], j[order]
    return i, j, X[i, j] + noise * rng.standard_normal(len(i))


class LocalRDD:
    """What the package asks of an RDD, on a list."""

    context = SimpleNamespace(broadcast=lambda value: SimpleNamespace(value=value, destroy=lambda: None))

    def __init__(self, items):
        self.items = list(items)

    def map(self, function):
        return LocalRDD(map(function, self.items))

    def collect(self):
        return self.items

    def persist(self, level):
        return self

    def unpersist(self):
        return self


def dealt(i, j, values, shape, parts=3):
    """Return `DistributedCells` without Spark."""
    from flatmin.spark.chunk import Chunk
    from flatmin.spark.distributed_cells import DistributedCells

    def sides(own, other):
        chosen = (own % parts == part for part in range(parts))
        return LocalRDD(Chunk.from_cells(own[c], other[c], values[c]) for c in chosen)

    counts = np.bincount(i, minlength=shape[0]), np.bincount(j, minlength=shape[1])
    return DistributedCells(shape, counts, sides(i, j), sides(j, i))


def flat_objective(i, j, values, L, R, reg):
    """Return the objective of ALS-WR."""
    left = values - np.einsum("nk,nk->n", L[i], R[j])
    n1, n2 = np.bincount(i, minlength=len(L)), np.bincount(j, minlength=len(R))
    return left @ left + reg * (n1 @ np.sum(L**2, axis=1) + n2 @ np.sum(R**2, axis=1))


#: Java compiles with less care: short programs need half the time.
EAGER = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def require_java():
    """Skip a test on a machine without Java."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java on this machine")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A session of the user's, with two cores."""
    require_java()
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", f"-Xss64m {EAGER}")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.local.dir", str(folder))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .getOrCreate()
    )
    session.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
    yield session
    session.stop()
    if before is None:
        del os.environ["PYSPARK_PYTHON"]
    else:
        os.environ["PYSPARK_PYTHON"] = before
