"""Displays: what is drawn is what was computed independently."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from scipy import optimize, stats

from flatmin.lab import fit_boundary
from flatmin.lab.displays import (
    BoundaryDisplay,
    CurvesDisplay,
    PhaseMapDisplay,
    ScatterDisplay,
)
from flatmin.lab.displays.style import COLOURS
from flatmin.lab.displays.summary import median_interval, summarise
from tests.lab.evidence_of_displays import DIMENSIONS, METHODS, bars, evidence_of, kinds, mapped, noisy, painted


@pytest.fixture(scope="module")
def displays():
    return kinds(mapped(), evidence_of(noisy))


def of_mean(values):
    return values.mean(), *stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))


def of_logarithms(values):
    return tuple(np.exp(of_mean(np.log(values))))


def of_share(values):
    """Return Wilson's interval by its definition: all p from which the share is at most z standard errors away."""
    n, share, z = len(values), np.mean(values), stats.norm.ppf(0.975)

    def beyond(p):
        return (share - p) ** 2 - z**2 * p * (1 - p) / n

    low = 0.0 if share == 0 else optimize.brentq(beyond, 0, share - 1e-12)
    high = 1.0 if share == 1 else optimize.brentq(beyond, share + 1e-12, 1)
    return share, low, high


def of_median(values):
    """Return the narrowest symmetric pair of order statistics with enough binomial mass between them."""
    n, ordered = len(values), np.sort(values)
    inner = [k for k in range(n // 2) if sum(stats.binom.pmf(range(k + 1, n - k), n, 0.5)) >= 0.95]
    return np.median(values), ordered[max(inner)], ordered[n - 1 - max(inner)]


@pytest.mark.parametrize(
    ("oracle", "settings"),
    [
        (of_mean, {"y": "error"}),
        (of_logarithms, {"y": "error", "y_log": True}),
        (of_share, {"y": "success"}),
        (of_median, {"y": "error", "centre": "median", "y_log": True}),
    ],
)
def test_curves_draw_the_intervals_of_the_textbook(oracle, settings):
    evidence = evidence_of(noisy, repetitions=11)
    display = CurvesDisplay.from_evidence(evidence, "curves", "t", x="d", by="method", **settings)
    axes = painted(display)
    for line, method in zip(bars(axes), METHODS, strict=True):
        wanted = [oracle(evidence.select(method=method, d=d).values(settings["y"])) for d in DIMENSIONS]
        np.testing.assert_allclose(line, [(d, *w[1:]) for d, w in zip(DIMENSIONS, wanted, strict=True)], rtol=1e-9)
        (drawn,) = (artist for artist in axes.lines if artist.get_label() == method)
        np.testing.assert_allclose(drawn.get_ydata(), [w[0] for w in wanted], rtol=1e-12)
        rows = [row for row in display.table()[1] if row[0] == method]
        np.testing.assert_allclose([row[2:5] for row in rows], wanted, rtol=1e-9)
        assert [row[5] for row in rows] == [11, 11, 11]
    low, high = axes.get_ylim()
    assert all(low < ends[1] and ends[2] < high for line in bars(axes) for ends in line), "an interval is cut off"


def test_intervals_of_medians_hold_what_they_promise_and_no_more():
    for n in range(1, 60):
        low, high = median_interval(np.arange(1.0, n + 1))
        if not np.isfinite(low):
            assert 1 - 2 * 0.5**n < 0.95  # even the smallest and the largest would not do
            continue
        inside = stats.binom.cdf(high - 1, n, 0.5) - stats.binom.cdf(low - 1, n, 0.5)
        narrower = stats.binom.cdf(high - 2, n, 0.5) - stats.binom.cdf(low, n, 0.5)
        assert inside >= 0.95 > narrower, n


def test_intervals_of_logarithms_never_reach_zero():
    values = np.array([1e-12, 1.0, 1e9])
    plain, logarithmic = summarise(values), summarise(values, logarithm=True)
    assert plain.low < 0 < logarithmic.low
    display = CurvesDisplay.from_evidence(
        evidence_of(lambda p, i: {"error": float(values[i])}, 3), "c", "t", x="d", y="error", by="method", y_log=True
    )
    assert all(ends[1] > 0 for line in bars(painted(display)) for ends in line)
    far = summarise(np.array([1e-149, 1e149]), logarithm=True)
    assert (far.low, far.high) == (0.0, np.inf)


def test_a_phase_map_shows_shares_and_boundaries():
    evidence = mapped(untried=[(20, 60)]).select(method="flat")
    display = PhaseMapDisplay.from_evidence(evidence, "map", "Map", predicted=lambda p: 4.0 * p["d"])
    axes = painted(display)
    shares = {}
    for result in evidence.results:
        if "success" in result.metrics:
            at = result.trial.parameters["d"], result.trial.parameters["m"]
            shares.setdefault(at, []).append(result.metrics["success"])
    assert display.columns
    for (d, m), outcomes in shares.items():
        (cell,) = (c for c in axes.patches if c.contains_point(axes.transData.transform((d + 0.01, m + 0.01))))
        assert cell.get_facecolor() == pytest.approx(to_rgba(COLOURS[0], np.mean(outcomes)))
        assert cell.get_hatch() is None
    (hatched,) = (cell for cell in axes.patches if cell.get_hatch())
    assert hatched.contains_point(axes.transData.transform((20, 60)))
    assert hatched.get_facecolor()[3] == 0
    assert "1 cell without trials, hatched" in display.alt
    for d, low, high in bars(axes)[0]:
        at = [m for dd, m in shares if dd == d]
        found = fit_boundary(np.array(at) / (2 * d), [sum(shares[d, m]) for m in at], [len(shares[d, m]) for m in at])
        assert (low, high) == pytest.approx((found.low * 2 * d, found.high * 2 * d), rel=0.02)
        assert low < 4 * d < high
    rows = {row[:2]: row for row in display.table()[1]}
    assert rows[20, 40][2:4] == (sum(shares[20, 40]), len(shares[20, 40]))
    assert rows[20, 40][5:] == pytest.approx(of_share(shares[20, 40])[1:])
    assert rows[20, 60][3] == 0
    assert np.isnan(rows[20, 60][4])
    (dashed,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert list(dashed.get_ydata()) == [4.0 * d for d in display.columns]


def test_cells_without_trials_look_otherwise_than_cells_without_success(displays):
    axes = painted(PhaseMapDisplay.from_evidence(mapped([(20, 20)]).select(method="flat", d=20), "map", "Map"))
    nothing, failed = ([c for c in axes.patches if c.get_hatch()], [c for c in axes.patches if not c.get_hatch()])
    assert len(nothing) == 1
    assert any(cell.get_facecolor()[3] == 0 for cell in failed)
    assert "no trials" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert "no trials" not in [text.get_text() for text in painted(displays[0]).get_legend().get_texts()]


def test_boundaries_are_those_of_the_fit_and_beyond_what_was_tried_there_is_an_arrow():
    evidence = mapped(m=(40, 50, 60, 70, 80, 90, 100, 110, 120))
    display = BoundaryDisplay.from_evidence(evidence, "b", "B", by="method", predicted=lambda p: 4.0 * p["d"])
    axes = painted(display)
    line = display.lines[0]
    # Success sets in at m = 40, 80, 160: at the lower end, in the middle, beyond the upper end.
    assert [line.points[d].inside for d in DIMENSIONS] == [False, True, False]
    found = line.points[20]
    assert bars(axes)[0].tolist() == [[20.0, pytest.approx(found.low), pytest.approx(found.high)]]
    arrows = {(a.get_marker(), *a.get_xydata()[0]) for a in axes.lines if a.get_marker() in "v^" and len(a.get_xdata())}
    assert ("v", 10.0, 2.0) in arrows
    assert ("^", 40.0, 1.5) in arrows
    assert display.caption == (
        "Half of the draws succeed at the points; bars are 95 % bands. An arrow marks a band that goes beyond "
        "the trials (▲: the boundary may be higher, ▼: the boundary may be lower)."
    )
    assert "2 with a band that goes beyond the trials" in display.alt
    assert f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g}) at d = 20" in display.alt
    (dashed,) = (a for a in axes.lines if a.get_label() == "predicted")
    assert list(dashed.get_ydata()) == [2.0, 2.0]


@pytest.mark.parametrize(("dimensions", "scale"), [((10, 20, 40), "linear"), ((2, 40, 200), "log")])
def test_boundaries_over_decades_have_a_logarithmic_axis(dimensions, scale):
    evidence = mapped(d=dimensions, m=tuple(4 * d + step for d in dimensions for step in (-2, 2)))
    axes = painted(BoundaryDisplay.from_evidence(evidence, "b", "B", by="method"))
    assert axes.get_xscale() == scale
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(d) for d in dimensions]


def test_predictions_that_differ_have_a_line_each():
    display = BoundaryDisplay.from_evidence(
        mapped(), "b", "B", by="method", predicted=lambda p: (4.0 if p["method"] == "flat" else 5.0) * p["d"]
    )
    assert display.words == ["flat", "nuclear", "predicted, flat", "predicted, nuclear"]
    assert {text.get_text() for text in painted(display).get_legend().get_texts()} == set(display.words)


def test_points_of_a_cloud_are_the_trials():
    evidence = evidence_of(noisy)
    display = ScatterDisplay.from_evidence(evidence, "s", "S", x="gap", y="error", by="method", diagonal=True)
    axes = painted(display)
    for method in METHODS:
        (cloud,) = (line for line in axes.lines if line.get_label() == method)
        part = evidence.select(method=method)
        assert cloud.get_xydata().tolist() == np.column_stack([part.values("gap"), part.values("error")]).tolist()
    assert "24 points" in display.alt
    assert "0 below the line on which both agree" in display.alt
    assert display.table()[1][0][:2] == ("flat", 24)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("x_log", [False, True])
@pytest.mark.parametrize("y_log", [False, True])
@pytest.mark.parametrize(("diagonal", "factor"), [(True, 1.0), ("bound", 0.5), ("bound", 100.0)])
def test_the_line_of_a_cloud_is_where_it_says_and_within_the_picture(x_log, y_log, diagonal, factor):
    evidence = evidence_of(noisy)
    settings = {"x": "gap", "y": "error", "x_log": x_log, "y_log": y_log}
    display = ScatterDisplay.from_evidence(evidence, "s", "S", diagonal=diagonal, factor=factor, **settings)
    axes = painted(display)
    word = "both agree" if diagonal is True else diagonal
    assert display.words == [word]
    (line,) = (line for line in axes.lines if line.get_label() == word)
    x, y = line.get_data()
    np.testing.assert_allclose(y, factor * x, rtol=1e-12)
    gap, error = evidence.values("gap"), evidence.values("error")
    assert x[-1] >= gap.max()
    assert x[0] <= gap.min() or (y_log and not x_log)  # there it begins at the first place that has a logarithm
    low, high = axes.get_ylim()
    assert low < min(error.min(), factor * gap.min()) < max(error.max(), factor * gap.max()) < high
    below = int((error < factor * gap).sum())
    assert f"{below} below the line {'on which both agree' if diagonal is True else 'of the bound'}" in display.alt


def test_a_cloud_without_a_line_has_none():
    axes = painted(ScatterDisplay.from_evidence(evidence_of(noisy), "s", "S", x="gap", y="error", by="method"))
    assert [line.get_label() for line in axes.lines] == list(METHODS)


def test_clouds_of_many_trials_are_thinned_and_say_so():
    display = ScatterDisplay.from_evidence(evidence_of(noisy, 300), "s", "S", x="gap", y="error", by="method")
    drawn = sum(len(line.get_xdata()) for line in painted(display).lines)
    assert abs(drawn - 1000) <= 2
    assert "Of 1800 trials about 1000 are drawn" in display.caption
    assert "900 points" in display.alt


def test_alternative_texts_name_the_numbers(displays):
    _, boundary, curves, _ = displays
    for display in (boundary, curves):
        for row in display.table()[1]:
            told = f"{row[2]:.3g} ({row[3]:.3g} to {row[4]:.3g}) at d = {row[1]}"
            ends = (10, 40) if display is curves else (10, 20)  # at 40 the band goes beyond what was tried
            assert (told in display.alt) == (row[1] in ends), told
    assert "flat" in curves.alt
    assert displays[0].alt.startswith("Heat map of the share of successes")
