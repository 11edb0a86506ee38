"""Numbers about boundaries: known shifts, ratios and exponents come out, and too little data says nothing."""

import math

import numpy as np
import pytest

from flatmin.lab import Evidence, Recipe, Result, Transition
from flatmin.lab.boundary.estimates import (
    UNKNOWN,
    Number,
    beyond,
    boundary_of,
    difference,
    distance,
    growth,
    largest,
    ratio,
    slope,
    slope_over,
)
from flatmin.lab.boundary.phase_map import PhaseMap, columns_of

ABOUT = """Made up

Claim: it is as it is made.

Refuted by: a number that is not.
"""
MULTIPLES = tuple(float(x) for x in np.linspace(1, 4, 13))


def cell(parameters, seed):
    raise AssertionError("never made")


def made(boundary, *, repetitions=20, sizes=(10, 20, 40, 80), falling=False, shared=True, seed=0):
    """Return evidence of successes along x in units of d, with a boundary that depends on d and method."""
    recipe = Recipe(
        "made-up",
        ABOUT,
        cell,
        grid=[{"method": ("a", "b"), "d": (d,), "m": tuple(d * x for x in MULTIPLES)} for d in sizes],
        repetitions=repetitions,
        paired=("method",) if shared else (),
        transition=Transition("m", "success", lambda at: at["d"], falling),
        seed=seed,
    )
    results = []
    for trial in recipe.trials():
        at = trial.parameters
        p = 1 / (1 + math.exp(-(at["m"] / at["d"] - boundary(at)) / 0.15))
        chance = np.random.default_rng(trial.seed).random()
        results.append(Result(trial, {"success": bool((chance < p) is not falling)}))
    return Evidence(recipe, results)


def shifted(at):
    return 2.3 if at["method"] == "b" else 2.0


def test_a_known_difference_on_the_same_draws_is_found_and_pairing_pays():
    numbers = [difference(made(shifted, shared=shared), "method", "b", "a") for shared in (True, False)]
    for number in numbers:
        assert number.low < 0.3 < number.high
    paired, apart = (number.high - number.low for number in numbers)
    assert paired < 0.9 * apart


@pytest.mark.slow
def test_the_interval_of_a_difference_covers_as_often_as_it_says():
    """Forty repetitions of an experiment; at 95 % fewer than 33 that cover have a chance of about 1 in 1000."""
    covered = 0
    for seed in range(40):
        number = difference(made(shifted, repetitions=6, sizes=(10, 20), seed=seed), "method", "b", "a")
        covered += number.low < 0.3 < number.high
    assert covered >= 33


def test_a_difference_of_boundaries_where_success_ends():
    number = difference(made(shifted, falling=True), "method", "b", "a")
    assert number.low < 0.3 < number.high


@pytest.mark.slow
def test_agreement_on_a_few_draws_is_not_certain():
    few = difference(made(lambda at: 2.0, repetitions=2, sizes=(10,)), "method", "b", "a")
    many = difference(made(lambda at: 2.0, repetitions=40), "method", "b", "a")
    assert few.estimate == many.estimate == 0
    assert few.high > 5 * many.high > 0
    assert difference(made(lambda at: 2.0, repetitions=1), "method", "b", "a") == UNKNOWN
    assert difference(made(lambda at: 2.0).select(method="a"), "method", "b", "a") == UNKNOWN


@pytest.mark.parametrize("falling", [False, True])
def test_a_difference_has_no_end_where_success_may_set_in_beyond_the_grid(falling):
    """Cells go from 1 to 4: at 9 nothing is seen of a boundary, nor at −5."""

    def found(a, b):
        evidence = made(lambda at: b if at["method"] == "b" else a, sizes=(10, 20), falling=falling)
        return difference(evidence, "method", "b", "a")

    never = found(9.0, 9.0)
    assert (never.low, never.estimate, never.high) == (-math.inf, 0.0, math.inf)
    assert found(2.0, 9.0).high == found(-5.0, 2.0).high == math.inf
    assert found(9.0, 2.0).low == found(2.0, -5.0).low == -math.inf
    assert 1.5 < found(2.0, 9.0).low < 2.2
    assert -2.2 < found(9.0, 2.0).high < -1.5
    assert 0.7 < found(-5.0, 2.0).low < 1.3
    assert -1.3 < found(2.0, -5.0).high < -0.7


def test_one_column_without_its_boundary_leaves_a_difference_open():
    number = difference(made(lambda at: 9.0 if at["d"] == 80 and at["method"] == "b" else 2.0), "method", "b", "a")
    assert number.high == math.inf
    assert number.low > 0.3


def test_ratio_and_distance_to_a_prediction():
    columns = columns_of(made(lambda at: 2.2), method="a")
    found = ratio(columns, lambda at: 2 * at["d"])
    assert found.low < 1.1 < found.high < found.low + 0.05
    near = distance(columns, lambda at: 2.2 * at["d"], lambda at: at["d"])
    assert near.low == 0
    assert near.high < 0.4
    far = distance(columns, lambda at: (2.2 if at["d"] < 80 else 3.2) * at["d"], lambda at: at["d"])
    assert far.low < 1 < far.high
    assert far.low > 0.8


def test_more_comparisons_make_wider_bands():
    columns = columns_of(made(lambda at: 2.2), method="a")
    some, more = (
        distance(columns, lambda at: 2.2 * at["d"], lambda at: at["d"], among=count).high for count in (4, 40)
    )
    assert more > some


def test_exponents_of_growth():
    columns = columns_of(made(lambda at: 1.6 * (at["d"] / 10) ** 0.25), method="a")
    found = growth(columns, "d", lambda at: at["d"])
    assert found.low < 0.25 < found.high < found.low + 0.12
    assert growth(columns, "d", lambda at: at["d"] ** 1.25).folded(0.0).low == 0
    assert growth(columns[:2], "d", lambda at: at["d"]) == UNKNOWN


def test_a_line_that_does_not_fit_has_a_wider_interval():
    straight = growth(columns_of(made(lambda at: 2.0), method="a"), "d", lambda at: at["d"])
    bent = growth(columns_of(made(lambda at: 3.0 if at["d"] == 20 else 2.0), method="a"), "d", lambda at: at["d"])
    assert bent.high - bent.low > 3 * (straight.high - straight.low)


@pytest.mark.parametrize(
    ("size", "boundary", "open_above"), [(80, 9.0, True), (80, -5.0, False), (10, 9.0, False), (10, -5.0, True)]
)
def test_a_boundary_beyond_what_was_tried_bends_the_line_one_way(size, boundary, open_above):
    columns = columns_of(made(lambda at: boundary if at["d"] == size else 2.0), method="a")
    found = growth(columns, "d", lambda at: at["d"])
    assert (found.high == math.inf) is open_above
    assert (found.low == -math.inf) is not open_above
    assert abs(found.estimate) < 0.1


def test_the_slope_of_a_boundary_where_success_ends():
    columns = columns_of(made(lambda at: 1.5 + at["d"] / 80, falling=True), method="a")
    found = slope_over(columns, lambda column: column.parameters["d"], lambda column, x: x)
    assert found.low < 1 / 80 < found.high < found.low + 0.01


def test_a_slope_has_its_intervals():
    """By hand: the slope is 0.2, residuals −0.2, 0.6, −0.6, 0.2, so misfit 0.4 for spread 1, and 40 for spread 0.1."""
    x, y = np.arange(4.0), np.array([0.0, 1.0, 0.0, 1.0])
    known = slope(x, y, np.ones(4))
    assert (known.estimate, known.high - known.estimate) == pytest.approx((0.2, 1.95996 / 5**0.5), rel=1e-4)
    bent = slope(x, y, np.full(4, 0.1))
    assert bent.high - bent.estimate == pytest.approx(4.30265 * (0.4 / 5) ** 0.5, rel=1e-4)
    surer = slope(x, y, np.full(4, 0.1), 0.99)
    assert surer.high - surer.estimate == pytest.approx(9.92484 * (0.4 / 5) ** 0.5, rel=1e-4)
    assert slope(np.ones(4), y, np.ones(4)) == UNKNOWN


def test_a_band_beyond_what_was_tried_has_no_end():
    (column,) = columns_of(made(lambda at: 9.0, sizes=(10,)), method="a")
    found = boundary_of(column)
    assert found.high == math.inf
    assert found.low > 3.5
    assert largest([column]).high == math.inf
    assert distance([column], lambda at: 20, lambda at: at["d"]).high == math.inf
    assert ratio([column], lambda at: 10) == UNKNOWN
    (column,) = columns_of(made(lambda at: -5.0, sizes=(10,)), method="a")
    assert boundary_of(column).low == -math.inf
    assert largest([column]).high < 1.5


@pytest.mark.parametrize("falling", [False, True])
def test_cells_where_success_is_sure(falling):
    columns = columns_of(made(lambda at: 2.0, falling=falling), method="a")
    successes, trials = beyond(columns, 1.6)
    assert successes == trials > 0
    assert trials % 20 == 0


def test_columns_without_trials_say_nothing():
    empty = PhaseMap(made(shifted).experiment, []).columns
    assert beyond(empty, 1.25) == (0, 0)
    assert largest(empty) == distance(empty, lambda at: 1, lambda at: 1) == UNKNOWN
    assert boundary_of(empty[0]) == UNKNOWN


def test_folded():
    assert Number(0.9, 0.8, 1.05).folded(1.0) == pytest.approx((0.1, 0.0, 0.2))
    assert Number(1.2, 1.1, 1.3).folded(1.0) == pytest.approx((0.2, 0.1, 0.3))
