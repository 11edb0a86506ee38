"""Tasks: checked arguments, the settings that repeat them, and the status of their ends."""

from types import SimpleNamespace

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock, Limits
from flatmin.solvers.task import Task, status_of

PROBLEM = fm.families.matrix_sensing.sample((5, 4), 1, 30).problem


def test_arguments_are_checked():
    with pytest.raises(fm.InputError, match="problem is a str, expected a flatmin Problem"):
        Task("problem")
    with pytest.raises(fm.InputError, match="alpha is -1"):
        Task(PROBLEM, -1)


def test_the_model_may_limit_the_rank():
    narrow = fm.Problem(PROBLEM.measurement, PROBLEM.data, fm.Product(rank=2))
    assert Task(narrow).max_rank == 2
    assert Task(narrow, limits=Limits(max_rank=3)).max_rank == 3
    assert Task(PROBLEM).max_rank is None


def test_settings_repeat_the_solve():
    task = Task(PROBLEM, 0.5, limits=Limits(max_rank=np.int64(3), seed=7))
    assert task.settings["max_rank"] == 3
    assert type(task.settings["max_rank"]) is int
    again = fm.flat_minimum(PROBLEM, **task.settings)
    assert again.settings == task.settings
    assert "stop" not in task.settings
    assert Task(PROBLEM, limits=Limits(stop="objective")).settings["stop"] == "objective"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task(PROBLEM, metric_power=0.5), "metric_power is 0.5, expected its default 1.0 for Product"),
        (Task(PROBLEM, limits=Limits(max_rank=2)), "max_rank is 2, expected its default None"),
        (Task(PROBLEM, warm_start=(np.ones(2),)), "warm_start was given, expected its default None"),
    ],
)
def test_arguments_without_a_meaning_are_refused(task, message):
    with pytest.raises(fm.InputError, match=message):
        task.expect_defaults("metric_power", "max_rank", "warm_start")


@pytest.mark.parametrize(
    ("proof", "clock", "flags", "status"),
    [
        ((True, "penalised", True), Clock(), {}, "regularized_minimum"),
        ((True, "interpolating", True), Clock(), {}, "unique_flat_minimum"),
        ((True, "interpolating", None), Clock(), {}, "flat_minimum"),
        ((True, "interpolating", True), Clock(), {"consistent": False}, "inconsistent_data"),
        ((False, "interpolating", None), Clock(), {"converged": False}, "not_certified"),
        ((False, "interpolating", None), Clock(max_iter=0), {"converged": False}, "iteration_limit"),
        ((False, "interpolating", None), Clock(time_limit=0), {"converged": False}, "time_limit"),
        ((False, "interpolating", None), Clock(max_iter=0), {}, "not_certified"),
        ((False, "penalised", None), Clock(max_iter=0), {"converged": False, "capped": True}, "rank_limit"),
        ((True, "penalised", None), Clock(), {"capped": True}, "regularized_minimum"),
    ],
)
def test_statuses(proof, clock, flags, status):
    holds, objective, unique = proof
    judged = SimpleNamespace(holds=holds, objective=objective, unique=unique)
    assert status_of(judged, clock, **flags).name == status
