from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Limits
from flatmin.measurements import Entries
from flatmin.solvers.convex import augmented_lagrangian
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.interior import minimum
from flatmin.solvers.interior.interior_point import InteriorPoint


def few(seed=0):
    """Return cells below the recovery threshold, where no guessed rank fits."""
    return fm.families.matrix_completion.sample((20, 16), 2, 130, seed=seed).problem


def without(monkeypatch):
    monkeypatch.setattr(augmented_lagrangian, "interior_applies_to", lambda model, limits: False)


def test_it_applies_to_small_tables_and_networks_without_a_limit_on_the_rank():
    model = Scaled.from_problem(few(), 1.0, 0).model
    assert minimum.applies_to(model, Limits())
    assert not minimum.applies_to(model, Limits(max_rank=3))
    sensing = Scaled.from_problem(fm.families.matrix_sensing.sample((6, 5), 1, 20).problem, 1.0, 0).model
    assert not minimum.applies_to(sensing, Limits())
    network = fm.families.quadratic_network.sample(8, (1, 1), 30).problem
    assert minimum.applies_to(Scaled.from_problem(network, 1.0, 0).model, Limits())
    large = fm.families.matrix_completion.sample((200, 150), 2, 2500).problem
    assert not minimum.applies_to(Scaled.from_problem(large, 1.0, 0).model, Limits())


PROBLEMS = {
    "few cells": few(),
    "tiny numbers": fm.Problem(few(1).measurement, 1e-120 * few(1).data),
    "huge numbers": fm.Problem(few(1).measurement, 1e120 * few(1).data),
    "network": fm.families.quadratic_network.sample(12, (2, 1), 40).problem,
}


@pytest.mark.parametrize(
    ("name", "metric_power"), [*((name, 1.0) for name in PROBLEMS), ("few cells", 0.0), ("network", 0.5)]
)
def test_it_reaches_the_value_of_the_rounds_in_few_steps(monkeypatch, name, metric_power):
    solution = fm.flat_minimum(PROBLEMS[name], metric_power=metric_power)
    assert solution.certificate.holds
    assert solution.iterations <= 25
    assert solution.certificate.relative_gap < 1e-10
    without(monkeypatch)
    other = fm.flat_minimum(PROBLEMS[name], metric_power=metric_power)
    assert solution.certificate.value == pytest.approx(other.certificate.value, rel=1e-8)


def cells(seed=2, **changes):
    """Return the positions and data of few cells, with changes."""
    A = few(seed).measurement
    return {"rows": A.rows, "cols": A.cols, "data": few(seed).data, "weights": None, "shape": A.shape} | changes


def problem_of(parts):
    entries = Entries(parts["rows"], parts["cols"], parts["shape"], parts["weights"])
    return fm.Problem(entries, parts["data"])


def hard_cells():
    """Yield tables with unseen lines, repeated cells, unequal weights, and rows of very different size."""
    plain, rng = cells(), np.random.default_rng(0)
    yield "unseen", plain | {"shape": (22, 17)}
    twice = np.r_[np.arange(130), np.arange(0, 130, 3)]
    twice = rng.permutation(twice)
    yield (
        "repeated",
        {name: plain[name][twice] for name in ("rows", "cols", "data")}
        | {
            "shape": plain["shape"],
            "weights": None,
        },
    )
    weights = 10 ** rng.uniform(-2, 2, 130)
    yield "weights", plain | {"weights": weights, "data": weights * plain["data"]}
    yield "sizes", plain | {"data": plain["data"] * (10.0 ** np.linspace(-4, 4, 20))[plain["rows"]]}
    yield (
        "one cell",
        {name: plain[name][:1] for name in ("rows", "cols", "data")}
        | {
            "shape": plain["shape"],
            "weights": None,
        },
    )


HARD = dict(hard_cells())


@pytest.mark.parametrize("name", HARD)
def test_hard_tables_are_certified_as_by_the_rounds(monkeypatch, name):
    problem = problem_of(HARD[name])
    solution = fm.flat_minimum(problem)
    without(monkeypatch)
    other = fm.flat_minimum(problem)
    assert solution.certificate.holds
    assert other.certificate.holds
    assert solution.certificate.value == pytest.approx(other.certificate.value, rel=1e-7)


def test_limits_end_the_search_with_a_point_and_a_bound():
    for limits in ({"max_iter": 3}, {"time_limit": 0.0}):
        solution = fm.flat_minimum(few(), **limits)
        assert solution.iterations <= 3
        assert not solution.certificate.holds
        assert np.isfinite(solution.matrix).all()
    rows = []
    solution = fm.flat_minimum(few(), callback=rows.append)
    assert rows[-1]["gap"] < 1e-10
    assert rows[-1]["rank"] == solution.rank
    assert [row["iteration"] for row in rows] == sorted(row["iteration"] for row in rows)


def test_the_rounds_go_on_where_steps_fail(monkeypatch):
    monkeypatch.setattr(InteriorPoint, "step", lambda self: False)
    solution = fm.flat_minimum(few())
    assert solution.certificate.holds
    assert solution.iterations > 25


def test_contradictory_networks_are_recognised():
    problem = fm.families.quadratic_network.sample(5, (1, 1), 30, noise=0.1).problem
    assert fm.flat_minimum(problem).status.name == "inconsistent_data"
    exact = fm.families.quadratic_network.sample(5, (1, 1), 30)
    assert fm.flat_minimum(exact.problem).status.name == "unique_flat_minimum"
    halved = replace(exact.problem, data=exact.problem.data / 2)
    assert fm.flat_minimum(halved).status.name == "unique_flat_minimum"
