"""A sweep on a real Dask cluster of two workers."""

import logging
import os
import re
import sys
import threading
from contextlib import closing

import pytest

from flatmin.errors import InputError
from flatmin.lab import DaskCluster, Store, sweep
from flatmin.lab.runs import dask_cluster
from tests.lab import experiments as made

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as made_now,
    ):
        yield made_now


@pytest.fixture
def place(cluster):
    opened = DaskCluster(cluster.scheduler_address)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "trials.db") as opened:
        yield opened


def test_both_workers_compute_and_this_process_keeps(place, store):
    recipe = made.recipe_of(made.where, 30)
    outcome = sweep(recipe, store, executor=place)
    assert outcome.complete
    assert len(outcome.results) == 30
    pids = {result.metrics["pid"] for result in outcome.results}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_results_are_those_of_this_process(place, store, tmp_path):
    recipe = made.recipe_of(repetitions=2)
    there = sweep(recipe, store, executor=place).results
    with Store(tmp_path / "here.db") as other:
        here = sweep(recipe, other).results
    assert [(r.trial, r.metrics) for r in there] == [(r.trial, r.metrics) for r in here]


def test_failures_come_with_their_reason(place, store):
    (failed,) = sweep(made.recipe_of(made.falls_over, 6), store, executor=place).failed
    assert failed.reason.startswith("ArithmeticError: two is too much")


@pytest.mark.slow
def test_a_cell_that_kills_its_worker_fails_alone(place, store):
    recipe = made.recipe_of(made.kills_itself, 6)
    outcome = sweep(recipe, store, executor=place)
    assert outcome.complete
    assert [(r.trial.parameters["a"], r.reason) for r in outcome.failed] == [
        (2, "the process that computed it ended: KilledWorker")
    ]


@pytest.fixture
def lone_cluster():
    """A cluster of one worker with one thread, for tests that take it away."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as made_now:
        yield made_now


@pytest.mark.slow
def test_a_lone_worker_computes_and_a_sweep_that_lost_it_says_so_and_waits(lone_cluster, store, monkeypatch):
    monkeypatch.setattr(sys.modules["flatmin.lab.runs.sweep"], "POLL_EXECUTOR", 0.1)
    recipe, troubles, here = made.recipe_of(made.where, 40), [], threading.get_ident()

    def watch(state):
        if "trouble" in state:
            assert threading.get_ident() != here
            troubles.append(state["trouble"])
            lone_cluster.scale(1)
        elif state["computed"] == 5:
            lone_cluster.scale(0)

    with closing(DaskCluster(lone_cluster.scheduler_address)) as place:
        assert place.trouble() is None
        outcome = sweep(recipe, store, executor=place, callback=watch)
    assert set(troubles) == {"the Dask cluster has no worker"}
    assert outcome.complete
    assert not outcome.failed
    pids = {result.metrics["pid"] for result in outcome.results}
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.slow
def test_a_scheduler_that_is_gone_ends_the_sweep_with_one_sentence(lone_cluster, store, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECTION_TIMEOUT", 2)
    recipe = made.recipe_of(made.where, 200)

    def watch(state):
        if state["computed"] == 5:
            threading.Thread(target=lone_cluster.close).start()

    gone = pytest.raises(InputError, match=r"the Dask scheduler at .* is gone, expected it to stay; what is finished")
    with closing(DaskCluster(lone_cluster.scheduler_address)) as place, gone:
        sweep(recipe, store, executor=place, callback=watch)
    there = store.results(recipe)
    assert 5 <= len(there) < 200
    assert all(result.status == "done" for result in there)
    assert store.select("SELECT count(*) FROM claims") == [(0,)]


def test_workers_with_another_version_are_refused(cluster, monkeypatch):
    monkeypatch.setattr(dask_cluster, "__version__", "0.0.1")
    with pytest.raises(InputError, match=r"Dask workers have flatmin .*, expected 0\.0\.1 as here"):
        DaskCluster(cluster.scheduler_address)


def test_a_scheduler_that_does_not_answer_is_one_sentence(monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECTION_TIMEOUT", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at --dask tcp://127\.0\.0\.1:9: ."):
        DaskCluster("tcp://127.0.0.1:9")


def test_without_dask_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=re.escape("pip install 'flatmin[dask]'")):
        DaskCluster("tcp://127.0.0.1:1")
