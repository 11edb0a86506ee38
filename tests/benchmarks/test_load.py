"""Fitted models under many callers: results stay the same, limits of threads are restored, and memory stays flat."""

import mmap
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("memory and forks of Linux", allow_module_level=True)

from benchmarks import load

import flatmin as fm
from tests.systems import needs_posix

FEW = ("MatrixCompletion", "RobustPCA", "PhaseRetrieval")


@pytest.mark.parametrize("names", [FEW, pytest.param(tuple(load.estimators()), marks=pytest.mark.slow)])
def test_fits_in_eight_threads_are_those_alone_and_limits_are_restored(names):
    assert load.serial_and_threaded(list(names)) == []


def test_predictions_of_eight_threads_are_equal():
    X = load.table()
    model = fm.MatrixCompletion(alpha=0.01).fit(X)
    with ThreadPoolExecutor(load.THREADS) as pool:
        found = list(pool.map(lambda _: load.latencies(model, X, 0.1), range(load.THREADS)))
    assert all(found)


def test_a_result_that_changes_is_noticed():
    class Drifting:
        def __init__(self):
            self.calls = 0

        def predict(self, X):
            self.calls += 1
            return X + (self.calls > 3)

        transform = predict

    with pytest.raises(AssertionError, match="differ"):
        load.latencies(Drifting(), np.ones(3), 5.0)


@needs_posix
def test_a_fork_after_the_import_fits_the_same():
    expected = load.outcome("MatrixCompletion")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            found = load.outcome("MatrixCompletion")
            same = all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))
            os.write(writer, b"same" if same else b"different")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"same"
    os.waitpid(child, 0)


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """A call may keep a kilobyte or so: the allocator never gives every page back."""
    for name, call in load.leaks(tmp_path).items():
        assert load.growth(call, 200) < 5 * 2**20, name


def test_growth_is_noticed():
    """Each call keeps a page of its own from the system: memory that was free in the process would not grow it."""
    kept = []

    def keep():
        kept.append(mmap.mmap(-1, 2**20))
        kept[-1].write(bytes(2**20))

    assert load.growth(keep, 20) > 5 * 2**20
