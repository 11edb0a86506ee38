"""Charts along the runs of a race: what is drawn, against what was counted by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cycler import cycler
from matplotlib import rc_context

from flatmin.lab.displays.style import look
from flatmin.lab.race.page.trajectories import band, panels, trajectories

STEPS = np.array([0, 1, 10, 100])


def runs(*values):
    return [(STEPS[: len(v)], np.array(v, dtype=float)) for v in values]


def looks_of(curves):
    return {name: place for place, name in enumerate(curves)}


def texts(svg):
    """The words of a drawing and where they stand, as matplotlib writes them."""
    return dict(re.findall(r"<!-- (.*?) -->", svg)) or re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_band_is_the_median_between_the_extremes():
    drawn = band(runs([9, 4, 2, 1], [9, 3, 3, 3], [9, 8, 1, 5]))
    assert drawn.gradients.tolist() == [1, 10, 100]
    np.testing.assert_allclose(drawn.middle, [4, 2, 3])
    np.testing.assert_allclose(drawn.low, [3, 1, 1])
    np.testing.assert_allclose(drawn.high, [8, 3, 5])


def test_a_diverged_run_counts_as_infinite_in_the_median_and_leaves_the_band():
    drawn = band(runs([9, 4, 2, 1], [9, 3, np.inf], [9, 8]))
    np.testing.assert_allclose(drawn.middle, [4, np.inf, np.inf])
    np.testing.assert_allclose(drawn.high, [8, 2, 1])
    assert np.isinf(band(runs([np.inf, np.inf])).middle).all()


def test_runs_recorded_at_different_points_are_interpolated():
    drawn = band([(np.array([1, 100]), np.array([1e0, 1e-4])), (np.array([1, 10, 100]), np.array([1.0, 1.0, 1.0]))])
    assert drawn.low[1] == pytest.approx(10 ** (-4 * 9 / 99))


def test_rounding_and_zero_do_not_break_the_logarithm():
    drawn = band(runs([1, 0, -1e-18, 1e-20]))
    assert np.isfinite(drawn.middle).all()
    assert (drawn.middle > 0).all()


@pytest.mark.parametrize("count", range(1, 18))
def test_every_competitor_has_one_place_and_a_look_of_its_own(count):
    names = [f"c{i}" for i in range(count)]
    groups = panels(names)
    assert [name for group in groups for name in group] == names
    assert max(map(len, groups)) <= 4
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    five = cycler(color=("red", "green", "blue", "cyan", "black"))
    with rc_context({"axes.prop_cycle": five}):
        for group in groups:
            looks = [look(names.index(name)) for name in group]
            assert len({style["color"] for style in looks}) == len(group)
            assert len({str(style["linestyle"]) for style in looks}) == len(group)


def test_a_panel_names_its_own_competitors_and_no_others():
    curves = {name: band(runs([9, 4, 2, k])) for k, name in enumerate(["first", "second", "third-of-a-long-name", "x"])}
    looks = looks_of(curves)
    svg = trajectories("t", {"loss": curves, "flatness gap": curves}, ["second", "third-of-a-long-name"], looks)
    found = texts(svg)
    assert {"second", "loss", "flatness gap", "gradient evaluations"} <= set(found)
    assert "first" not in found
    assert svg.count("var(--first)") == 0
    assert svg.count("var(--second)") > 0


def test_what_explodes_does_not_flatten_the_others():
    calm = {"calm": band(runs([9, 4, 2, 1]))}
    wild = calm | {"wild": band(runs([9, 1e30, 1e80]), 100)}
    ticks = [
        [t for t in texts(trajectories("t", {"loss": c}, ["calm"], looks_of(c))) if t.startswith("10")]
        for c in (calm, wild)
    ]
    assert ticks[0] == ticks[1]


def test_one_run_alone_and_all_diverged_can_be_drawn():
    for curves in ({"a": band(runs([1.0, 1.0]))}, {"a": band(runs([1.0, np.inf]))}, {"a": band(runs([0.0, 0.0]))}):
        assert "<svg" in trajectories("t", {"loss": curves}, ["a"], {"a": 0})
