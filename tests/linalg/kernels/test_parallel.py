"""Threads that run a loop over ranges of rows."""

import numpy as np
import pytest

from flatmin.linalg.kernels.parallel import Parts, available, run_ranges


def test_threads_follow_the_processors_and_the_usual_variables(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    most = available()
    assert most >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    assert available() == most


def test_every_row_is_visited_once_and_failures_arrive():
    pointers = np.concatenate([[0], np.cumsum(np.array([0, 900, 0, 3, 40, 40, 0, 17]))])
    seen = np.zeros(8, int)

    def visit(start, stop):
        seen[start:stop] += 1

    Parts(pointers).run(visit, 1e12, threads=3)
    assert np.all(seen == 1)

    def failing(start, stop):
        raise MemoryError("none left")

    with pytest.raises(MemoryError, match="none left"):
        run_ranges(failing, [(0, 1), (1, 2), (2, 3)], 2)
