"""Executors: processes, threads and the metrics that a cell may return."""

import os

import pytest

from flatmin.lab import Processes, Serial, Store, sweep
from tests.lab import experiments as made


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "trials.db") as opened:
        yield opened


def returns_a_list(parameters, seed):
    return [1]


def returns_a_table(parameters, seed):
    return {"x": [[1, 2]]}


def test_processes_compute_elsewhere_at_the_same_time(store, tmp_path):
    recipe = made.recipe_of(made.meets, grid=[{"a": [1, 2, 3], "folder": [str(tmp_path)]}])
    outcome = sweep(recipe, store, executor=Processes(2))
    assert not outcome.failed
    assert os.getpid() not in {result.metrics["pid"] for result in outcome.results}


@pytest.mark.parametrize("place", [Serial(), Processes(2)], ids=["here", "processes"])
def test_cells_have_one_thread_of_linear_algebra_however_many_cores_there_are(store, place, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "8")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    outcome = sweep(made.recipe_of(made.threads, 2), store, executor=place)
    assert {result.metrics["blas"] for result in outcome.results} == {1}
    if not isinstance(place, Serial):  # where libraries that are loaded later look
        assert {result.metrics["omp"] for result in outcome.results} == {"1"}


def test_what_is_no_dict_of_plain_values_is_a_failure(store):
    for cell in (returns_a_list, returns_a_table):
        outcome = sweep(made.recipe_of(cell, 1), store)
        assert outcome.failed[0].reason.startswith("TypeError: the ")
