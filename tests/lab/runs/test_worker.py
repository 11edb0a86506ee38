"""What is kept when a sweep is killed, interrupted or shared."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from flatmin.lab import Processes, Store, sweep
from flatmin.lab.runs.worker import LEASE, Worker
from tests.lab import experiments as made

ROOT = Path(__file__).parents[3]


def start(file, jobs):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lab.experiments", str(file), str(jobs)], cwd=ROOT, stdout=subprocess.PIPE
    )


def contents(file):
    """Return what is in a store, by trial."""
    with Store(file) as store:
        return {result.trial.key: result for result in store.results(made.recipe_of(count=1500))}


def kill_and_look(file, rng, jobs, count):
    """Kill a sweep at random moments; return everything that was in the store in the end."""
    before = {}
    for _ in range(count):
        process = start(file, jobs)
        time.sleep(rng.uniform(0.3, 1.5))
        process.kill()
        said, _ = process.communicate()
        after = contents(file)
        assert len(after) - len(before) >= said.count(b"\n"), "a result that was reported is not there"
        assert before.items() <= after.items(), "a result was lost or changed"
        before = after
    return before


def check_all(file):
    """Check that a finished sweep has every trial once, with its right value."""
    recipe = made.recipe_of(count=1500)
    with Store(file) as store:
        rows = store.select("SELECT count(*), count(DISTINCT parameters), count(DISTINCT seed) FROM trials")
        assert rows == [(1500, 1500, 1500)]
        for result in store.results(recipe):
            assert result.metrics == made.value_of(result.trial.parameters, result.trial.seed)
        assert store.select("SELECT count(*) FROM claims") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_kill_at_a_random_moment_loses_and_doubles_nothing(tmp_path, jobs):
    file = tmp_path / "trials.db"
    kill_and_look(file, np.random.default_rng(jobs), jobs, 2)
    assert start(file, jobs).wait(60) == 0
    check_all(file)


@pytest.mark.slow
def test_fifty_kills_at_random_moments_lose_and_double_nothing(tmp_path):
    file, rng = tmp_path / "trials.db", np.random.default_rng(0)
    for jobs in (2, 1):
        kill_and_look(file, rng, jobs, 25)
    assert start(file, 2).wait(120) == 0
    check_all(file)


def test_two_processes_share_the_work(tmp_path):
    file = tmp_path / "trials.db"
    processes = [start(file, 1), start(file, 1)]
    counts = [process.communicate(timeout=60)[0].count(b"\n") for process in processes]
    assert sum(counts) == 1500, "a trial was made twice"
    assert min(counts) > 100, "one process did all the work"
    check_all(file)


def test_a_process_waits_for_what_another_one_is_at(tmp_path):
    recipe = made.recipe_of(made.instant, 3)
    with Store(tmp_path / "trials.db") as store, Store(tmp_path / "trials.db") as other:
        theirs = list(recipe.trials())[1]
        waiting = []
        with Worker(other, recipe) as session:
            assert session.reserve(theirs)
            assert not session.reserve(theirs)
            threading.Timer(0.8, store.record, (recipe, made_result(theirs))).start()
            outcome = sweep(recipe, store, callback=waiting.append)
        assert outcome.complete
        assert any(state.get("waiting") == 1 for state in waiting)
        assert {result.metrics["value"] for result in outcome.results} == {0, 2, "theirs"} - {
            theirs.parameters["a"]
        } | {1} - {theirs.parameters["a"]}


def made_result(trial):
    from flatmin.lab import Result

    return Result(trial, {"value": "theirs"})


@pytest.mark.parametrize("dead", ["gone", "silent"])
def test_the_claims_of_dead_processes_are_free(tmp_path, dead):
    recipe = made.recipe_of(made.instant, 3)
    with Store(tmp_path / "trials.db") as store:
        session = Worker(store, recipe)
        assert all(session.reserve(trial) for trial in recipe.trials())
        with store.transaction() as database:
            if dead == "gone":
                process = subprocess.Popen([sys.executable, "-c", ""])
                process.wait()
                database.execute("UPDATE sessions SET pid = ?", (process.pid,))
            else:
                database.execute("UPDATE sessions SET host = 'elsewhere', beat = ?", (time.time() - LEASE - 1,))
        assert sweep(recipe, store).complete


def test_the_claims_of_living_processes_elsewhere_are_respected(tmp_path):
    recipe = made.recipe_of(made.instant, 2)
    with Store(tmp_path / "trials.db") as store:
        theirs = Worker(store, recipe)
        assert theirs.reserve(next(recipe.trials()))
        with store.transaction() as database:
            database.execute("UPDATE sessions SET host = 'elsewhere', pid = 1")
        ours = Worker(store, recipe)
        ours.free_dead_reservations()
        assert not ours.reserve(next(recipe.trials()))
        assert ours.held_by_others() == {next(recipe.trials()).key}


@pytest.mark.slow
def test_a_cell_that_kills_its_process_fails_alone(tmp_path):
    recipe = made.recipe_of(made.kills_itself, 7)
    with Store(tmp_path / "trials.db") as store:
        outcome = sweep(recipe, store, executor=Processes(2))
    assert outcome.complete
    (failed,) = outcome.failed
    assert failed.trial.parameters == {"a": 2}
    assert "ended" in failed.reason
    assert {r.metrics["value"] for r in outcome.results if r.reason is None} == set(range(7)) - {2}


def children_of(pid):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(child) for child in listed]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes by /proc")
def test_no_process_outlives_a_killed_sweep(tmp_path):
    process = start(tmp_path / "trials.db", 2)
    process.stdout.readline()
    children = children_of(process.pid)
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(100):
        if not any(map(alive, children)):
            return
        time.sleep(0.1)
    pytest.fail("processes go on")
