"""Limits are checked and normalised; a clock counts against them."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock, Limits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tol", 0.0),
        ("tol", "small"),
        ("time_limit", -1.0),
        ("max_rank", 0),
        ("max_iter", -1),
        ("seed", None),
        ("stop", "x"),
    ],
)
def test_arguments_out_of_range_are_refused(name, value):
    with pytest.raises(fm.InputError, match=f"{name} is {value!r}, expected"):
        Limits(**{name: value})


def test_numpy_numbers_become_plain_ones():
    limits = Limits(np.int64(3), np.float64(1e-6), np.int32(7), np.float32(2.0), np.uint8(5))
    assert limits == Limits(3, 1e-6, 7, 2.0, 5)
    assert [type(n) for n in (limits.max_rank, limits.tol, limits.time_limit)] == [int, float, float]


def test_every_start_is_a_clock_of_its_own():
    limits = Limits(max_iter=2)
    first, second = limits.start(), limits.start(max_iter=9)
    first.iterations = 2
    assert first.exhausted
    assert not second.exhausted
    assert second.max_iter == 2
    assert Limits().start(max_iter=9).max_iter == 9


def test_a_clock_without_time_is_out_of_it():
    assert Clock(time_limit=0.0).out_of_time
    assert not Clock().exhausted


def test_rows_of_the_history_go_to_the_callback():
    rows, history, clock = [], {}, Clock()
    clock.record(history, rows.append, residual=0.5, rank=3)
    clock.iterations += 1
    clock.record(history, rows.append, residual=0.25, rank=3)
    assert history["iteration"] == [0.0, 1.0]
    assert history["residual"] == [row["residual"] for row in rows] == [0.5, 0.25]
    assert all(type(rank) is float for rank in history["rank"])
