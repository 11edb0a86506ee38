"""The line on stderr while a solver runs."""

import io

import pytest

from flatmin.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            {"iteration": 3, "seconds": 1.25, "residual": 1e-3, "gap": 0.5, "rank": 2},
            "1.2 s  iteration 3  rank 2  residual 1.0e-03  gap 5.0e-01",
        ),
        ({"iteration": 3, "seconds": 0.5, "smoothing": 1e-3}, "0.5 s  iteration 3"),
        ({"iteration": 3, "gap": float("nan"), "residual": float("inf")}, "iteration 3"),
        ({}, ""),
    ],
)
def test_it_shows_what_a_solver_tells_and_vanishes(monkeypatch, state, text):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress() as show:
        show(state)
    assert terminal.getvalue() == f"\r\x1b[K{text}\r\x1b[K"


def test_nobody_sees_it(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress() as show:
        assert show is None
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress(wanted=False) as show:
        assert show is None
