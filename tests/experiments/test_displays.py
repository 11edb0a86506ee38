"""Displays: what is drawn is what was computed independently, whatever part of the evidence there is."""

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from scipy import optimize, stats

import flatmin
from flatmin.errors import InputError
from flatmin.experiments import Evidence, Recipe, Result, Transition, fit_boundary
from flatmin.experiments.displays import (
    BoundaryDisplay,
    CurvesDisplay,
    Display,
    PhaseMapDisplay,
    ScatterDisplay,
    files,
    page_svg,
    save_figures,
    sheet,
)
from flatmin.experiments.displays.summary import median_interval, summarise
from flatmin.experiments.style import COLOURS, look, printed
from tests.experiments.made import ABOUT, instant

METHODS = ("flat", "nuclear")
DIMENSIONS = (10, 20, 40)
MULTIPLES = (1.0, 1.5, 2.0, 2.5, 3.0)


def evidence_of(metrics, repetitions=8, **grid):
    """Return evidence of a recipe whose trials have the metrics that ``metrics(parameters, repetition)`` returns."""
    grid = grid or {"method": METHODS, "d": DIMENSIONS}
    about = Transition("m", "success", lambda parameters: 2.0 * parameters["d"]) if "m" in grid else None
    recipe = Recipe("made", ABOUT, instant, [grid], repetitions, paired=("method",), transition=about)
    results = []
    for trial in recipe.trials():
        found = metrics(trial.parameters, trial.repetition)
        if found is not None:
            results.append(Result(trial, found, seconds=0.1))
    return Evidence(recipe, results)


def noisy(parameters, repetition):
    """Return metrics that grow with d; every value is another one."""
    rng = np.random.default_rng([parameters["d"], repetition, len(parameters["method"])])
    error = parameters["d"] ** 2 / 10 * float(np.exp(rng.normal() / 2))
    return {"error": error, "gap": error / 3, "success": bool(rng.random() < 0.7), "word": "so"}


def mapped(untried=(), **changes):
    """Return evidence of a map whose success sets in at m = 4 d, within one cell."""

    def metrics(parameters, repetition):
        x = parameters["m"] / (2 * parameters["d"])
        if (parameters["d"], parameters["m"]) in untried:
            return {"other": 1.0}
        return {"success": x > 2.2 or (1.8 < x < 2.2 and repetition % 2 == 0)}

    grid = {
        "method": METHODS,
        "d": DIMENSIONS,
        "m": tuple(sorted({int(2 * d * x) for d in (10, 20) for x in MULTIPLES})),
    }
    return evidence_of(metrics, **grid | changes)


def kinds(evidence, charted):
    """Return one display of each kind; ``evidence`` is a map, ``charted`` has metrics."""
    flat = evidence.select(method="flat")
    return [
        PhaseMapDisplay.from_evidence(flat, "map", "Share of successes", predicted=lambda p: 4.0 * p["d"]),
        BoundaryDisplay.from_evidence(evidence, "boundary", "Boundary", by="method", predicted=lambda p: 4.0 * p["d"]),
        CurvesDisplay.from_evidence(charted, "curves", "Error", x="d", y="error", by="method", y_log=True),
        ScatterDisplay.from_evidence(charted, "scatter", "Both", x="gap", y="error", by="method", diagonal=True),
    ]


@pytest.fixture(scope="module")
def displays():
    return kinds(mapped(), evidence_of(noisy))


def painted(display):
    """Return axes with a display in the style of print."""
    with printed():
        figure = Figure(figsize=tuple(side / 72 for side in display.size), layout="constrained")
        axes = figure.add_subplot()
        display.paint(axes)
        FigureCanvasAgg(figure).draw()
    return axes


def bars(axes):
    """Return the ends of all intervals that were drawn: (x, low, high) of each line."""
    found = []
    for lines in axes.collections:
        segments = np.array(lines.get_segments())
        found.append(np.column_stack([segments[:, 0, 0], segments[:, :, 1]]))
    return found


# --- the numbers -----------------------------------------------------------------------------------------------------


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
    assert [line.boundaries[d].inside for d in DIMENSIONS] == [False, True, False]
    found = line.boundaries[20]
    assert bars(axes)[0].tolist() == [[20.0, pytest.approx(found.low), pytest.approx(found.high)]]
    arrows = {(a.get_marker(), *a.get_xydata()[0]) for a in axes.lines if a.get_marker() in "v^" and len(a.get_xdata())}
    assert ("v", 10.0, 2.0) in arrows
    assert ("^", 40.0, 1.5) in arrows
    assert "An arrow stands" in display.caption
    assert "2 with a band beyond what was tried" in display.alt
    assert f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g}) at d = 20" in display.alt
    (dashed,) = (a for a in axes.lines if a.get_label() == "predicted")
    assert list(dashed.get_ydata()) == [2.0, 2.0, 2.0]


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


def test_clouds_of_many_trials_are_thinned_and_say_so():
    display = ScatterDisplay.from_evidence(evidence_of(noisy, 300), "s", "S", x="gap", y="error", by="method")
    drawn = sum(len(line.get_xdata()) for line in painted(display).lines)
    assert abs(drawn - 1000) <= 2
    assert "Of 1800 trials 1000 are drawn" in display.caption
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


# --- parts of the evidence -------------------------------------------------------------------------------------------


def test_without_trials_displays_say_so():
    nothing = mapped().select(method="neither")
    for display in kinds(nothing, evidence_of(lambda p, i: None)):
        assert display.alt == f"{display.title}: no trials yet."
        assert display.table()[1] == []
        assert "no trials yet" in [text.get_text() for text in painted(display).texts]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_trials_are_enough_to_draw(count):
    whole, charted = mapped(), evidence_of(noisy)
    for display in kinds(
        Evidence(whole.recipe, whole.results[:count]), Evidence(charted.recipe, charted.results[:count])
    ):
        axes = painted(display)
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
        assert display.alt


def test_one_repetition_has_a_hollow_point_and_no_interval():
    display = CurvesDisplay.from_evidence(evidence_of(noisy, 1), "c", "C", x="d", y="error", by="method")
    axes = painted(display)
    assert not axes.collections
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert sum(len(line.get_xdata()) for line in hollow) == 6
    assert all(row[3:5] == (-np.inf, np.inf) for row in display.table()[1])
    assert "(" not in display.alt


def test_columns_without_two_points_have_no_boundary():
    evidence = mapped(m=(40,)).select(method="flat")
    assert PhaseMapDisplay.from_evidence(evidence, "m", "M").boundaries == dict.fromkeys(DIMENSIONS)
    assert BoundaryDisplay.from_evidence(evidence, "b", "B").lines == []


def test_numbers_that_are_none_are_left_out_and_counted():
    broken = {0: np.nan, 1: np.inf, 2: 0.0, 3: -1.0}
    evidence = evidence_of(lambda p, i: {"error": broken.get(i, float(i)), "gap": float(i)}, 8)
    for log, left in ((False, 2), (True, 4)):
        display = CurvesDisplay.from_evidence(evidence, "c", "C", x="d", y="error", by="method", y_log=log)
        mean = np.exp(np.log([4, 5, 6, 7]).mean()) if log else np.mean([0, -1, 4, 5, 6, 7])
        assert all(row[2] == pytest.approx(mean) and row[5:] == (8 - left, left) for row in display.table()[1])
        assert f"{6 * left} trials left out" in display.caption
        cloud = ScatterDisplay.from_evidence(evidence, "s", "S", x="gap", y="error", y_log=log)
        assert (cloud.left_out, cloud.at_edge) == (12, 12 if log else 0)
        for axes in (painted(display), painted(cloud)):
            assert all(np.isfinite(line.get_ydata()).all() for line in axes.lines)


def test_medians_count_what_diverged_and_mark_it_at_the_edge():
    evidence = evidence_of(lambda p, i: {"error": np.inf if i >= p["d"] / 5 else float(i)}, 9)
    display = CurvesDisplay.from_evidence(evidence, "c", "C", x="d", y="error", centre="median", by="method")
    rows = [row for row in display.table()[1] if row[0] == "flat"]
    assert [row[2] for row in rows] == [np.inf, np.inf, 4.0]
    axes = painted(display)
    edge = [line for line in axes.lines if line.get_marker() == "^" and line.get_ydata().tolist() == [1.0, 1.0]]
    assert len(edge) == 2, "a median that is infinite stands at the upper edge"
    zero = evidence_of(lambda p, i: {"error": 0.0}, 9)
    display = CurvesDisplay.from_evidence(zero, "c", "C", x="d", y="error", centre="median", y_log=True)
    assert any(line.get_marker() == "v" and set(line.get_ydata()) == {0.0} for line in painted(display).lines)


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 40), marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("error")
def test_any_numbers_can_be_drawn(seeds):
    pool = [0.0, -1.0, np.nan, np.inf, -np.inf, 5e-324, 1e-300, 1.7e308, -1e308, 1.0, 3.5, 1e-17, 1e15, 1e15 + 1, True]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        some = rng.choice(pool, 3)

        def metrics(parameters, repetition, some=some, rng=rng):
            return {"error": float(rng.choice(some)), "gap": float(rng.choice(some))} if rng.random() < 0.8 else None

        evidence = evidence_of(metrics, int(rng.integers(1, 8)))
        settings = {"by": "method", "y_log": seed % 2 == 0, "x_log": seed % 3 == 0}
        for centre in ("mean", "median"):
            display = CurvesDisplay.from_evidence(evidence, "c", "C", x="d", y="error", centre=centre, **settings)
            painted(display)
            assert "nan" not in display.alt + str(display.table())
        painted(ScatterDisplay.from_evidence(evidence, "s", "S", x="gap", y="error", diagonal=True, **settings))


def test_levels_may_be_words_numbers_and_both():
    evidence = evidence_of(lambda p, i: {"error": i + 1.0}, alpha=("auto", 0.5, 0, "exact"), exact=(True, False))
    display = CurvesDisplay.from_evidence(evidence, "c", "C", x="alpha", y="error", by=("exact",), x_log=True)
    axes = painted(display)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.5", "auto", "exact"]
    assert [curve.label for curve in display.curves] == ["not exact", "exact"]
    assert axes.get_xscale() == "linear"


def test_labels_decide_order_and_looks_also_where_a_level_is_missing():
    labels = {"nuclear": "nuclear norm", "flat": "flat minimum"}
    both, one = evidence_of(noisy), evidence_of(noisy).select(method="flat")
    settings = {"x": "d", "y": "error", "by": "method", "labels": labels}
    curves = CurvesDisplay.from_evidence(both, "c", "C", **settings).curves
    assert [(curve.label, curve.look) for curve in curves] == [("nuclear norm", 0), ("flat minimum", 1)]
    assert [curve.look for curve in CurvesDisplay.from_evidence(one, "c", "C", **settings).curves] == [1]


def test_references_are_drawn_where_there_are_levels():
    display = CurvesDisplay.from_evidence(
        evidence_of(noisy), "c", "C", x="d", y="error", by="method", reference={"d²": lambda d: d**2, "level": 7}
    )
    axes = painted(display)
    square, level = (next(a for a in axes.lines if a.get_label() == word) for word in ("d²", "level"))
    assert square.get_xydata().tolist() == [[10, 100], [20, 400], [40, 1600]]
    assert level.get_ydata() == [7, 7]
    assert "Dashed, d²: 100 to 1600. Dashed, level: 7." in display.alt


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda e: CurvesDisplay.from_evidence(e, "c", "C", x="d", y="eror"), "no trial has the metric 'eror'"),
        (lambda e: CurvesDisplay.from_evidence(e, "c", "C", x="q", y="error"), "no parameter 'q'"),
        (lambda e: CurvesDisplay.from_evidence(e, "c", "C", x="d", y="error", by="q"), "no parameter 'q'"),
        (lambda e: CurvesDisplay.from_evidence(e, "c", "C", x="d", y="word"), "values such as 'so'"),
        (lambda e: CurvesDisplay.from_evidence(e, "c", "C", x="d", y="error", centre="mode"), "centre is 'mode'"),
        (lambda e: CurvesDisplay.from_evidence(e, "a b", "C", x="d", y="error"), "a display is called 'a b'"),
        (lambda e: ScatterDisplay.from_evidence(e, "s", "S", x="eror", y="error"), "no trial has the metric 'eror'"),
        (lambda e: ScatterDisplay.from_evidence(e, "s", "S", x="word", y="error"), "word or error has words"),
        (lambda e: PhaseMapDisplay.from_evidence(e, "m", "M"), "the recipe made has no transition"),
        (lambda e: BoundaryDisplay.from_evidence(e, "b", "B"), "the recipe made has no transition"),
        (lambda e: PhaseMapDisplay.from_evidence(mapped(), "m", "M"), "which differ in method"),
        (lambda e: BoundaryDisplay.from_evidence(mapped(), "b", "B", over="q", by="method"), "no parameter 'q'"),
        (lambda e: sheet([]), "no displays"),
    ],
)
def test_mistakes_are_named_in_a_sentence(make, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        make(evidence_of(noisy))
    assert "\n" not in str(caught.value)


# --- how it looks ----------------------------------------------------------------------------------------------------

#: What the three kinds of colour-blindness make of linear light: Machado, Oliveira, Fernandes 2009, severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light):
    x = TO_XYZ @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours):
    """Return the smallest distance of two colours in CIELAB, for eyes of every kind."""
    seen = [[lab(np.array(matrix) @ linear(colour)) for colour in colours] for matrix in BLINDNESS.values()]
    return min(np.linalg.norm(a - b) for eyes in seen for a, b in itertools.combinations(eyes, 2))


def contrast(one, other):
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def of_pages(mode):
    """Return the colours of lines of pages, and of what they lie on; light (0) or dark (1)."""
    css = (Path(flatmin.__file__).parent / "report" / "page.css").read_text()
    found = {
        name: re.findall(rf"--{name}: (#\w+);", css)[mode] for name in ("first", "second", "third", "fourth", "card")
    }
    ground = found.pop("card")
    return list(found.values()), ground


@pytest.mark.parametrize(
    "palette", [(list(COLOURS), "white"), of_pages(0), of_pages(1)], ids=["print", "light", "dark"]
)
def test_colours_stay_apart_for_all_eyes(palette):
    colours, ground = palette
    assert nearest(colours) > 10  # about 2 can just be seen side by side
    assert all(contrast(colour, ground) > 3 for colour in colours[:5])


def test_the_test_of_colours_can_fail():
    assert nearest(["#d62728", "#2ca02c"]) < 10  # red and green of equal lightness


def test_lines_differ_in_grey_too():
    for cycle in (COLOURS, COLOURS[:4]):
        with printed(**{"axes.prop_cycle": matplotlib.cycler(color=cycle)}):
            looks = [look(i) for i in range(12)]
        marks = {(str(found["linestyle"]), found["marker"]) for found in looks}
        assert len(marks) == 12
        assert len({(found["color"], str(found["linestyle"])) for found in looks}) == 12


def overlaps(texts):
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_words_neither_overlap_nor_leave_the_figure(displays):
    many = evidence_of(noisy, 2, method=tuple(f"a method with number {i}" for i in range(7)), d=tuple(range(2, 400, 7)))
    crowded = CurvesDisplay.from_evidence(many, "many", "M", x="d", y="error", by="method", x_log=True, y_log=True)
    words = evidence_of(
        lambda p, i: {"error": 1.0 + i}, method=tuple(f"{w} word" for w in ("a", "very", "long", "short"))
    )
    worded = CurvesDisplay.from_evidence(words, "words", "W", x="method", y="error")
    for display in (*displays, crowded, worded):
        axes = painted(display)
        frame = axes.figure.bbox
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            assert len([tick for tick in ticks if tick.get_text()]) >= 2
            if not any(tick.get_rotation() for tick in ticks):
                assert not overlaps(ticks)
        texts = axes.get_legend().get_texts() if axes.get_legend() else []
        assert not overlaps(texts)
        assert all(frame.contains(*corner) for text in texts for corner in text.get_window_extent().corners()), (
            display.name
        )
        assert axes.bbox.height > 0.45 * frame.height


@pytest.mark.parametrize("span", [(1e-14, 1.0), (0.2, 0.9), (3e-6, 8e-6), (2.2, 4.4), (5.0, 5.0), (1e-3, 3e4)])
def test_logarithmic_axes_have_ticks_with_numbers(span):
    evidence = evidence_of(lambda p, i: {"error": span[i % 2] * (1 + i / 1e3), "gap": float(i)}, 4)
    axes = painted(ScatterDisplay.from_evidence(evidence, "s", "S", x="gap", y="error", y_log=True))
    low, high = axes.get_ylim()
    shown = {
        label.get_text() for y, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True) if low <= y <= high
    }
    assert len(shown) >= 2
    assert low < span[0] <= span[1] < high


# --- where it is drawn -----------------------------------------------------------------------------------------------


def test_plot_draws_into_given_axes_in_the_style_that_is_set(displays):
    with matplotlib.rc_context({"axes.prop_cycle": matplotlib.cycler(color=["#123456", "#654321"])}):
        for display in displays:
            figure = Figure()
            axes = figure.add_subplot()
            assert display.plot(axes) is display
            assert display.ax_ is axes
            assert display.figure_ is figure
            assert axes.lines or axes.patches
        (line,) = (line for line in displays[2].ax_.lines if line.get_label() == "nuclear")
        assert line.get_color() == "#654321"


def test_plot_makes_axes_of_its_own_in_print(displays):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    try:
        for display in displays:
            display.plot()
            assert display.figure_.axes == [display.ax_]
        (line,) = (line for line in displays[2].ax_.lines if line.get_label() == "nuclear")
        assert line.get_color() == COLOURS[1].lower()
    finally:
        plt.close("all")
    assert dict(matplotlib.rcParams) == before


def test_settings_stay_as_they_were(displays, tmp_path):
    with matplotlib.rc_context({"font.size": 17, "axes.prop_cycle": matplotlib.cycler(color=["r"])}):
        before = dict(matplotlib.rcParams)
        page_svg(displays[0], "x")
        save_figures(displays[:1], tmp_path)
        sheet(displays)
        assert dict(matplotlib.rcParams) == before


def test_pages_get_their_own_colours_and_ids(displays):
    ids = []
    for display in displays:
        svg = page_svg(display, f"made {display.name}")
        root = ET.fromstring(svg)
        own = [element.get("id") for element in root.iter() if element.get("id")]
        ids += own
        for name in re.findall(r'(?:href="#|url\(#)([^")]+)', svg):
            assert name in own
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg), "a colour that does not follow the page"
        assert {"var(--first)", "var(--ink)", "var(--muted)"} <= set(re.findall(r"var\(--\w+\)", svg))
        assert root.get("aria-hidden") == "true"
        assert display.x_label in {"".join(text.itertext()).strip() for text in root.iter("text")}
    assert len(set(ids)) == len(ids)
    assert svg == page_svg(display, f"made {display.name}")


def test_files_are_the_same_for_the_same_evidence(displays, tmp_path):
    displays, again = displays[::2], kinds(mapped(), evidence_of(noisy))[::2]
    formats = ("png", "svg")
    one, two = (save_figures(made, tmp_path / place) for made, place in ((displays, "a"), (again, "b/c")))
    stems = ["made-map", "made-curves", "made"]
    assert [path.name for path in one] == [f"{stem}.{extension}" for stem in stems for extension in formats]
    assert sorted(one) == sorted((tmp_path / "a").iterdir())
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    for path in (path for path in one if path.suffix == ".svg"):
        root = ET.fromstring(path.read_text())
        space = {"s": "http://www.w3.org/2000/svg"}
        title, about = root.find("s:title", space), root.find("s:desc", space)
        assert root.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
        assert [root[0], root[1]] == [title, about]
        wanted = {display.x_label for display in displays if path.stem in ("made", f"made-{display.name}")}
        assert wanted <= {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
        for display in displays:
            assert (display.alt in about.text) == (path.stem in ("made", f"made-{display.name}"))
    from PIL import Image

    with Image.open(one[0]) as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.size[0] == int(displays[0].size[0] / 72 * 200)


PROGRAM = """
import sys
import flatmin.experiments.displays as displays
assert "matplotlib" not in sys.modules, "drawing is loaded before anything is drawn"
from tests.experiments.test_displays import evidence_of, kinds, mapped, noisy
displays.save_figures(kinds(mapped(), evidence_of(noisy))[:2], sys.argv[1], ("svg", "png"))
"""


@pytest.mark.slow
def test_files_are_the_same_from_another_process(displays, tmp_path):
    here = save_figures(displays[:2], tmp_path / "here", ("svg", "png"))
    for seed in "12":
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "MPLBACKEND": "Agg", "HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / seed)], check=True, env=environment)
        for path in here:
            assert path.read_bytes() == (tmp_path / seed / path.name).read_bytes()


def test_sheets_stand_in_a_grid(displays):
    wide = CurvesDisplay.from_evidence(evidence_of(noisy), "wide", "Wide", x="d", y="error", by="method", wide=True)
    figure = sheet([displays[0], displays[1], wide, displays[2]], "All")
    figure.canvas.draw()
    parts = [part.bbox for part in figure.subfigs]
    assert parts[0].y0 == pytest.approx(parts[1].y0)
    assert parts[0].x1 == pytest.approx(parts[1].x0)
    assert (parts[2].x0, parts[2].x1) == pytest.approx((parts[0].x0, parts[1].x1))
    assert parts[2].y1 <= parts[0].y0 + 1
    assert parts[3].y1 <= parts[2].y0 + 1
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["Share of successes", "Boundary", "Wide", "Error"]
    assert figure.get_suptitle() == "All"


def test_errors_of_files_are_named_and_leave_nothing(displays, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="the format 'jpg' was asked for, expected one of png, svg"):
        save_figures(displays, tmp_path / "new", ("png", "jpg"))
    with pytest.raises(InputError, match=r"two displays would be written to made-map\.svg"):
        save_figures([displays[0], displays[0]], tmp_path / "new", ("svg",))
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"figures cannot be written to .*file"):
        save_figures(displays, tmp_path / "file", ("svg",))
    assert (tmp_path / "file").read_text() == "mine"

    def breaks(*_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "full"
    target.mkdir()
    (target / "made-map.svg").write_text("old")
    monkeypatch.setitem(files.FORMATS, "svg", breaks)
    with pytest.raises(InputError, match="No space left on device"):
        save_figures(displays[:1], target, ("svg",))
    assert [path.name for path in target.iterdir()] == ["made-map.svg"]
    assert (target / "made-map.svg").read_text() == "old"


def test_a_display_of_ones_own_needs_three_methods():
    class Own(Display):
        """A line."""

        alt = "A line."

        def table(self):
            return ["x"], [(1,)]

        def paint(self, ax):
            ax.plot([0, 1])

    own = Own(name="own", title="Own")
    assert "var(--first)" in page_svg(own, "own")
    assert own.plot(Figure().add_subplot()).ax_.lines
