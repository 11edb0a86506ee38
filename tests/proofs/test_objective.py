"""Objectives: of problems, and as files state them."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.objective import Objective


@pytest.fixture
def problem():
    return fm.families.matrix_sensing.sample((4, 3), 1, 12).problem


@pytest.fixture
def split():
    return fm.Problem(fm.measurements.Identity((4, 25)), np.ones(100), loss=fm.losses.Absolute())


def test_only_gross_errors_have_a_weight_or_tau(problem, split):
    assert Objective.from_problem(problem, 0.5, 0.25) == Objective(0.5, 0.25, None, None)
    assert Objective.from_problem(split) == Objective(0.0, 1.0, 0.2, None)
    limited = fm.Problem(split.measurement, split.data, loss=fm.losses.Absolute(tau=3))
    assert Objective.from_problem(limited, 0.5) == Objective(0.5, 1.0, None, 3.0)
    with pytest.raises(fm.InputError, match=r"metric_power is 0\.5, expected its default 1\.0 for Absolute"):
        Objective.from_problem(split, metric_power=0.5)
    with pytest.raises(fm.InputError, match="alpha is -1"):
        Objective.from_problem(problem, -1)


def test_what_a_file_does_not_state_is_the_default(problem, split):
    assert Objective.stated({}, problem) == Objective.from_problem(problem)
    assert Objective.stated({"seed": 3}, split) == Objective.from_problem(split)
    assert Objective.stated({"weight": 2, "tau": None}, split) == Objective(0.0, 1.0, 2.0, None)
    assert Objective.stated({"tau": 2}, split) == Objective(0.0, 1.0, None, 2.0)
    assert Objective.stated({"weight": 2}, problem) == Objective(0.0, 1.0, 2.0, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": None},
        {"alpha": "1"},
        {"alpha": 1e200},
        {"alpha": float("nan")},
        {"metric_power": 2},
        {"metric_power": True},
        {"weight": 0},
        {"weight": [1]},
        {"tau": -1},
        {"weight": 1, "tau": 1},
    ],
)
def test_settings_that_are_no_objective_are_refused(settings, problem):
    with pytest.raises(fm.InputError, match=next(iter(settings))):
        Objective.stated(settings, problem)


def test_differences_have_names():
    assert Objective(0.5, 1.0).differences(Objective(0.5, 1.0)) == {}
    found = Objective(0.5, weight=2.0).differences(Objective(0.25, tau=1.0))
    assert found == {
        "alpha": "states alpha 0.5, but alpha 0.25 was asked for",
        "weight": "states weight 2.0, but no weight was asked for",
        "tau": "states no tau, but tau 1.0 was asked for",
    }
