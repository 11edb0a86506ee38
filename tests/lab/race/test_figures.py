"""Pictures of a race: what is drawn, beside what was counted by hand."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from flatmin.lab.race.figures import Cloud, band, folded, panels, scatter, spread, styles, trajectories

STEPS = np.array([0, 1, 10, 100])


def runs(*values):
    return [(STEPS[: len(v)], np.array(v, dtype=float)) for v in values]


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
    assert len({(s.colour, s.marker) for s in styles(groups).values()}) == count


def test_names_are_moved_apart_and_no_farther_than_needed():
    rng = np.random.default_rng(0)
    for _ in range(200):
        places = rng.random(rng.integers(1, 6))
        moved = spread(places, 0.2)
        inorder = moved[np.argsort(places)]
        assert all(b - a >= 0.2 - 1e-12 for a, b in pairwise(inorder))
        assert moved.mean() == pytest.approx(places.mean())
    apart = np.array([0.9, 0.1, 0.5])
    np.testing.assert_array_equal(spread(apart, 0.2), apart)


def test_a_panel_names_its_own_competitors_and_no_others():
    curves = {name: band(runs([9, 4, 2, k])) for k, name in enumerate(["first", "second", "third-of-a-long-name", "x"])}
    look = styles([list(curves)])
    svg = trajectories("t", {"loss": curves, "flatness gap": curves}, ["second", "third-of-a-long-name"], look)
    found = texts(svg)
    assert {"second", "loss", "flatness gap", "gradient evaluations"} <= set(found)
    assert "first" not in found
    assert svg.count("var(--first)") == 0
    assert svg.count("var(--second)") > 0
    assert folded("third-of-a-long-name") == "third-of-\na-long-name"


def test_what_explodes_does_not_flatten_the_others():
    calm = {"calm": band(runs([9, 4, 2, 1]))}
    wild = calm | {"wild": band(runs([9, 1e30, 1e80]), 100)}
    ticks = [
        [t for t in texts(trajectories("t", {"loss": c}, ["calm"], styles([list(c)]))) if t.startswith("10")]
        for c in (calm, wild)
    ]
    assert ticks[0] == ticks[1]


def test_names_are_tied_to_the_ends_of_lines_that_stay_in_the_chart():
    stays, goes = band(runs([9, 4, 2, 1])), band(runs([9, 1e30, 1e80]), 100)
    counts = []
    for curves in ({"stays": stays}, {"stays": stays, "goes": goes}):
        svg = trajectories("t", {"loss": curves}, list(curves), styles([list(curves)]))
        counts.append(svg.count("stroke-width: 0.7"))
    assert counts == [1, 1]


def test_a_wide_scatter_ends_near_its_points_and_a_narrow_one_at_powers_of_ten():
    for x, ticks in (([2e-3, 3.0], ["10⁻²", "10⁻¹", "10⁰"]), ([2.0, 3.0], ["10⁰", "10¹"])):
        svg = scatter("s", {"a": Cloud(np.array(x), np.array(x))}, ("gap", "error"), styles([["a"]]))
        assert [t for t in dict.fromkeys(texts(svg)) if t.startswith("10")] == ticks


def test_one_run_alone_and_all_diverged_can_be_drawn():
    for curves in ({"a": band(runs([1.0, 1.0]))}, {"a": band(runs([1.0, np.inf]))}, {"a": band(runs([0.0, 0.0]))}):
        assert "<svg" in trajectories("t", {"loss": curves}, ["a"], styles([["a"]]))


def test_a_scatter_has_a_mark_for_each_run_and_each_name_once():
    rng = np.random.default_rng(0)
    clouds = {f"c-{k}": Cloud(10.0 ** rng.uniform(-8, 2, 5), 10.0 ** rng.uniform(-3, 1, 5)) for k in range(9)}
    clouds["none"] = Cloud(np.zeros(0), np.zeros(0))
    look = styles(panels(list(clouds)))
    svg = scatter("s", clouds, ("gap", "error"), look)
    found = texts(svg)
    assert [found.count(f"c-{k}") for k in range(9)] == [1] * 9
    assert "none" not in found
    assert len(re.findall(r"<use ", svg)) >= 45
    assert "<svg" in scatter("s", {"none": clouds["none"]}, ("gap", "error"), look)
    assert "<svg" in scatter("s", {"zero": Cloud(np.zeros(2), np.zeros(2))}, ("gap", "error"), styles([["zero"]]))


@pytest.mark.parametrize("count", [8, 15])
def test_names_in_a_scatter_keep_off_each_other(count):
    clouds = {f"competitor-{k}": Cloud(np.full(3, 1.0 + 0.05 * k), np.full(3, 1.0 + 0.05 * k)) for k in range(count)}
    clouds["far"] = Cloud(np.full(3, 1e-3), np.full(3, 1e-3))
    svg = scatter("s", clouds, ("gap", "error"), styles(panels(list(clouds))))
    places = [
        (float(x), float(y))
        for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>competitor", svg)
        or re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>competitor', svg)
    ]
    assert len(places) == count
    for i, (x, y) in enumerate(places):
        for u, v in places[:i]:
            assert abs(x - u) > 40 or abs(y - v) > 7
