"""The line on stderr while a solver runs."""

import io

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.progress import Approach, listening, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            {"iteration": 3, "seconds": 0.25, "residual": 1e-3, "gap": 0.5, "rank": 2},
            f"{'░' * 20}  0.2 s  iteration 3  rank 2  residual 1.0e-03  gap 5.0e-01",
        ),
        ({"iteration": 3, "seconds": 0.5, "smoothing": 1e-3}, "0.5 s  iteration 3"),
        ({"iteration": 3, "gap": float("nan"), "residual": float("inf")}, "iteration 3"),
        ({}, ""),
    ],
)
def test_it_shows_what_a_solver_tells_and_vanishes(monkeypatch, state, text):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(True, Approach(1e-8)) as show:
        show(state)
    assert terminal.getvalue() == f"\r\x1b[K{text}\r\x1b[K"


def test_nobody_sees_it(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress(True, Approach(1e-8)) as show:
        assert show is None
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress(False, Approach(1e-8)) as show:
        assert show is None


def left(rows, **limits):
    approach = Approach(1e-8, **limits)
    lines = [list(approach({"seconds": t, "gap": g})) for t, g in rows]
    return next((word for word in lines[-1] if word.endswith("left")), None)


def test_the_time_left_follows_the_pace_of_late():
    assert left([(1, 1), (2, 1e-1), (3, 1e-2), (4.1, 1e-3)]) == "about 6 s left"
    assert left([(10, 1), (20, 1e-4), (30, 1e-5), (40.2, 1e-6)]) == "about 21 s left"


def test_a_limit_bounds_it_and_a_stall_says_nothing():
    assert left([(1, 1), (2, 1e-1)], time_limit=5.0) == "about 4 s left"
    assert left([(1, 1), (2, 1.0), (4, 1.0)]) is None
    assert left([(1, 1), (2, 1.0), (4, 1.0)], time_limit=60.0) == "about 57 s left"


def test_a_gap_that_rises_again_moves_no_bar_back():
    approach = Approach(1e-8)
    bars = [next(iter(approach({"seconds": t, "gap": g}))) for t, g in ((1, 1), (2, 1e-4), (3, 1e-2), (4, -1e-9))]
    assert [bar.count("█") for bar in bars] == [0, 10, 10, 20]


def test_another_solve_begins_another_bar():
    approach = Approach(1e-8)
    bars = [next(iter(approach({"seconds": t, "gap": g}))) for t, g in ((1, 1), (2, 1e-8), (1, 1e-1), (2, 1e-8))]
    assert [bar.count("█") for bar in bars] == [0, 20, 0, 20]


def test_a_gap_counts_more_than_a_change_once_it_is_known():
    approach, nan = Approach(1e-8), float("nan")
    rows = [(1, nan, 1e-1), (2, nan, 1e-8), (3, 1e-1, nan), (4, 1e-8, nan)]
    bars = [next(iter(approach({"seconds": t, "gap": g, "change": c}))) for t, g, c in rows]
    assert [bar.count("█") for bar in bars] == [0, 20, 0, 20]


def test_the_change_of_the_objective_counts_where_it_is_told():
    approach = Approach(1e-4)
    words = [list(approach({"seconds": t, "change": c, "gap": float("nan")})) for t, c in ((1.0, 1e-2), (2.1, 1e-3))][
        -1
    ]
    assert words[:2] == ["█" * 10 + "░" * 10, "about 2 s left"]


def test_estimators_show_a_bar_on_a_terminal(monkeypatch):
    table = np.outer(np.arange(1.0, 9), np.arange(1.0, 7))
    table[::3, ::2] = np.nan
    texts = []
    for verbose in (0, 1, 2):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        fm.MatrixCompletion(0.0, verbose=verbose).fit(table)
        texts.append(terminal.getvalue())
    assert texts[0] == ""
    assert "\r\x1b[K" in texts[1]
    assert "[MatrixCompletion]" in texts[2]


def test_a_listener_hears_the_progress_of_all_computations_in_the_block(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    rows = []
    with listening(rows.append), progress(False, lambda row: ["words"]) as show:
        show({"rank": 1})
    assert rows == [{"rank": 1}]
    with progress(False, lambda row: ["words"]) as show:
        assert show is None
