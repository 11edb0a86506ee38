"""The race: equal budgets, results that repeat, and what can go wrong."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab import Serial
from flatmin.lab.race import COLUMNS, CURVES, Competitor, CompetitorError, FactoredTask, competitors, race
from tests.lab.race.small_tasks import (
    METHOD,
    SOME,
    Greedy,
    Plain,
    dropout,
    finished,
    instance,
    modest,
    network,
    small,
    task,
    without_seconds,
)


def test_the_alias_is_the_function():
    assert fm.nn.race is race


def test_the_result_is_as_described():
    calls = []
    result = small(callback=calls.append)
    assert [(row["competitor"], row["seed"]) for row in result.table] == [(name, s) for name in SOME for s in (0, 1)]
    assert all(tuple(row) == COLUMNS for row in result.table)
    for row in result.table:
        curves = result.trajectories[row["competitor"], row["seed"]]
        assert set(curves) == set(CURVES)
        assert len({len(curve) for curve in curves.values()}) == 1
        for name in CURVES[1:]:
            assert curves[name][-1] == row[name]
    common = {tuple(curves["gradients"]) for curves in result.trajectories.values()}
    assert len(common) == 1
    assert [state["done"] for state in calls] == list(range(1, 13))
    assert [state["phase"] for state in calls] == ["tuning"] * 6 + ["race"] * 6
    json.dumps(result.as_dict(), allow_nan=False)


@pytest.mark.parametrize("question", ["unit", "objection"])
def test_who_answers_a_question_by_an_error_is_named(question, monkeypatch):
    monkeypatch.setattr(Plain, question, lambda self, task: 1 / 0)
    with pytest.raises(CompetitorError, match="plain failed: ZeroDivisionError"):
        small(who=[Plain()])


def test_the_same_race_gives_the_same_result():
    first = without_seconds(small(budget=30))
    assert first == without_seconds(small(budget=30, seeds=[0, 1]))
    assert first != without_seconds(small(budget=30, seed=1))


def test_step_sizes_do_not_depend_on_the_state_of_torch():
    """Also where the curvature is measured under dropout."""
    sizes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        what = network(make=dropout)
        sizes.append([row["step_size"] for row in small(what, ["adam", "sam"], seeds=1).tuning])
    assert sizes[0] == sizes[1]


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path):
    assert without_seconds(small(jobs=2, store=tmp_path / "runs.db")) == without_seconds(small())
    assert len(finished(tmp_path / "runs.db")) == 12


def test_any_executor_of_the_laboratory_computes_a_race():
    class Backwards(Serial):
        def results(self, cell, trials):
            return super().results(cell, reversed(list(trials)))

    assert without_seconds(small(executor=Backwards())) == without_seconds(small())
    with pytest.raises(InputError, match="expected one of them"):
        small(executor=Serial(), jobs=2)


def test_what_cannot_be_sent_to_processes_is_said():
    with pytest.raises(InputError, match="jobs=1"):
        small(who=[Greedy(way=partial(modest, threading.Lock()))], jobs=2)


SCRIPT = """
import time
from tests.lab.race.small_tasks import task
from flatmin.lab.race import race
settings = dict(budget=60, seeds=2, trials=2, store={store!r}, jobs={jobs})
race(task(), {names!r}, **settings, callback=lambda state: time.sleep(0.2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_race_goes_on_where_it_was(tmp_path):
    store = tmp_path / "runs.db"
    code = SCRIPT.format(names=SOME, store=str(store), jobs=1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    while len(finished(store)) < 3:
        assert process.poll() is None, "the race ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = finished(store)
    assert 3 <= len(kept) < 12
    resumed = small(store=store)
    assert kept.items() <= finished(store).items()
    assert len(finished(store)) == 12
    assert without_seconds(resumed) == without_seconds(small())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_the_processes_of_a_killed_race_end_with_it(tmp_path):
    store = tmp_path / "runs.db"
    code = SCRIPT.format(names=SOME, store=str(store), jobs=2)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    while not finished(store):
        assert process.poll() is None, "the race ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)  # the pipe is open as long as any of them lives


def test_a_finished_race_is_not_run_again(tmp_path):
    first, calls = small(store=tmp_path / "runs.db"), []
    assert small(store=tmp_path / "runs.db", callback=calls.append).table == first.table  # seconds too
    assert calls == []


def other_task(*, problem=None, truth=None, rank=None):
    made = instance()
    return FactoredTask(problem or made.problem, made.truth if truth is None else truth, rank)


CHANGES = {
    "data": lambda: {
        "what": other_task(problem=fm.Problem(instance().problem.measurement, 2 * instance().problem.data))
    },
    "measurement": lambda: {"what": task(1)},
    "truth": lambda: {"what": other_task(truth=2 * instance().truth)},
    "width": lambda: {"what": other_task(rank=2)},
    "seeds": lambda: {"seeds": [5, 6]},
    "budget": lambda: {"budget": 61},
    "strength": lambda: {"who": [competitors.find("sam").variant(strength=0.03)]},
    "name": lambda: {"who": [competitors.find("sam").variant(title="another")]},
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_reuses_nothing(tmp_path, change):
    store = tmp_path / "runs.db"
    small(who=["sam"], store=store)
    before = finished(store)
    # With one budget more the trials keep theirs, and are still those of the same rules.
    shared = 2 if change in ("seeds", "budget") else 0
    small(**({"who": ["sam"]} | CHANGES[change]()), store=store)
    assert before.items() <= finished(store).items()
    assert len(finished(store)) == len(before) + 4 - shared


def test_a_diverged_run_is_a_result():
    wild = Plain(name="wild", steps=(1e3, 1e4))
    result = small(who=[wild, *SOME], budget=200)
    rows = [row for row in result.table if row["competitor"] == "wild"]
    assert all(row["diverged"] for row in rows)
    assert all(row["gradients"] < 200 and row["rank"] is None and row["balance"] is None for row in rows)
    assert not any(math.isnan(row[name]) for row in rows for name in CURVES[1:])
    assert not any(row["diverged"] for row in result.table if row["competitor"] != "wild")
    curves = result.trajectories["wild", 0]
    assert len(curves["loss"]) < len(result.trajectories["sam", 0]["loss"])
    assert not any(np.isnan(curve).any() for curve in curves.values())
    wild_row = next(row for row in result.summary() if row["competitor"] == "wild")
    assert wild_row["diverged"] == 2
    assert result.correlation is None or result.correlation.competitors <= len(SOME)
    json.dumps(result.as_dict(), allow_nan=False)


def test_diverged_runs_are_kept_and_found_again(tmp_path):
    wild = Plain(name="wild", steps=(1e3, 1e4))
    first = small(who=[wild], store=tmp_path / "runs.db")
    assert (
        without_seconds(small(who=[wild], store=tmp_path / "runs.db"))
        == without_seconds(first)
        == without_seconds(small(who=[wild]))
    )


def test_a_new_competitor_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "half_step.py").write_text(METHOD)
    assert "half-step" not in competitors.names()
    monkeypatch.setattr(competitors, "__path__", [*competitors.__path__, str(tmp_path)])
    monkeypatch.setattr(competitors._COMPETITORS, "_own", {})
    assert "half-step" in competitors.names()
    assert small(who=["half-step"]).table[0]["competitor"] == "half-step"
    monkeypatch.delitem(sys.modules, f"{competitors.__name__}.half_step")


def test_a_registered_competitor_races_by_its_name():
    who = Competitor(name="patient", title="Short steps", claims="nothing", source="a test", steps=(0.01, 0.1))
    competitors.register(who)
    try:
        assert small(who=["patient"], seeds=1).competitors["patient"] == who.description
        with pytest.raises(InputError, match="already"):
            competitors.register(who)
    finally:
        competitors.unregister("patient")
    assert "patient" not in competitors.names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": "sensing"}, "task is a str"),
        ({"who": ["nobody"]}, "no competitor 'nobody', expected one of adam, "),
        ({"who": [3]}, "a competitor is a int"),
        ({"who": ["sam", "sam"]}, "two competitors are called 'sam'"),
        ({"who": []}, "no competitor can run"),
        ({"who": 3}, "competitors is 3"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"budget": 0}, "budget is 0"),
        ({"budget": 2.5}, "budget is 2.5"),
        ({"seeds": 0}, "no seeds"),
        ({"seeds": "ab"}, "seeds is 'ab'"),
        ({"seeds": True}, "seeds is True"),
        ({"seeds": [0, 0]}, "twice"),
        ({"seeds": [-1]}, "a seed is -1"),
        ({"seeds": ["x"]}, "a seed is 'x'"),
        ({"seeds": [1_000_000]}, "kept for tuning"),
        ({"trials": 0}, "trials is 0"),
        ({"jobs": 0}, "jobs is 0"),
        ({"jobs": 1.5}, "jobs is 1.5"),
        ({"callback": 3}, "callback is 3"),
        ({"truth": np.zeros((5, 4))}, "in the task"),
        ({"rank": 2}, "in the task"),
        ({"what": instance().problem, "truth": np.zeros((3, 3))}, "truth has shape"),
        ({"what": instance().problem, "rank": 0}, "rank is 0"),
        ({"who": ["scaled-gradient"], "what": "network"}, "no competitor can run"),
    ],
    ids=str,
)
def test_bad_arguments_are_said(arguments, message):
    arguments = {**arguments, "what": network()} if arguments.get("what") == "network" else arguments
    with pytest.raises(InputError, match=message):
        small(**arguments)


def test_what_is_no_store_is_refused(tmp_path):
    """A directory was a store of races once."""
    (tmp_path / "file").write_text("a text")
    for store, message in ((tmp_path / "file", "is no store"), (tmp_path, "is a directory, expected a file")):
        with pytest.raises(InputError, match=message):
            small(store=store)


def test_a_failed_run_stops_the_race_and_is_repeated_by_the_next(tmp_path, monkeypatch):
    who, store, calls = Plain(), tmp_path / "runs.db", []
    with monkeypatch.context() as patch:
        patch.setattr(Plain, "optimizer", lambda self, model, loss, entry: 1 / 0)
        with pytest.raises(CompetitorError, match=r"plain failed with seed 1000000 .* ZeroDivisionError"):
            small(who=["sam", who, "adam"], store=store)
    assert len(finished(store)) == 2, "the trials before it"
    small(who=["sam", who, "adam"], store=store, callback=calls.append)
    assert len(calls) == 12 - 2
