"""Displays of whatever part of the evidence there is, of any numbers and levels, and of mistakes."""

import re

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab import Evidence
from flatmin.lab.displays import (
    BoundaryDisplay,
    CurvesDisplay,
    PhaseMapDisplay,
    ScatterDisplay,
    sheet,
)
from tests.lab.evidence_of_displays import evidence_of, kinds, mapped, noisy, painted


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
        Evidence(whole.experiment, whole.results[:count]), Evidence(charted.experiment, charted.results[:count])
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


MEANS, HOLLOW = "Geometric means; bars are 95 % intervals by Student's t.", "Hollow points have too few draws"


@pytest.mark.parametrize("caption", ["", "All see the same draws.", MEANS])
def test_captions_say_what_the_marks_are_that_are_drawn(caption):
    def uneven(whole):
        return evidence_of(lambda p, i: noisy(p, i) if i == 0 or p["d"] == whole else None)

    settings = {"x": "d", "y": "error", "by": "method", "y_log": True, "caption": caption}
    for whole, bounded in ((0, False), (10, True)):
        said = CurvesDisplay.from_evidence(uneven(whole), "c", "C", **settings).caption
        assert said.startswith(caption)
        assert said.count(MEANS) == int(bounded or caption == MEANS)
        assert ("Geometric means." in said) != bounded
        assert HOLLOW in said
    said = CurvesDisplay.from_evidence(evidence_of(noisy), "c", "C", **settings).caption
    assert said == (caption if caption == MEANS else f"{caption} {MEANS}".strip())


def test_captions_promise_no_line_and_no_bars_where_there_are_none():
    whole = mapped().select(method="flat")
    never = mapped(m=(10, 15)).select(method="flat", d=(20, 40))  # success sets in at m = 80 and 160
    some = PhaseMapDisplay.from_evidence(whole, "m", "M", caption="Own.")
    none = PhaseMapDisplay.from_evidence(never, "m", "M", caption="Own.")
    assert some.caption == "Own. Half of the draws succeed on the line; bars are 95 % bands."
    assert none.caption.startswith("Own. There is no line")
    for display in (some, none):
        legend = [text.get_text() for text in painted(display).get_legend().get_texts()]
        assert legend == display.words
        assert any(word.startswith("half succeed") for word in legend) == (display is some)
    caption = BoundaryDisplay.from_evidence(never, "b", "B", caption="Own.").caption
    assert caption.startswith("Own. An arrow marks")
    assert "▲" in caption
    assert "▼" not in caption
    nothing = BoundaryDisplay.from_evidence(whole.select(m=whole.levels("m")[0]), "b", "B", caption="Own.")
    assert nothing.caption == "Own."


def test_columns_without_two_points_have_no_boundary():
    evidence = mapped(m=(40,)).select(method="flat")
    assert PhaseMapDisplay.from_evidence(evidence, "m", "M").boundaries == {}
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
    assert "A triangle at the end of the axis" in display.caption
    assert "bars" not in display.caption
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
    assert [curve.label for curve in display.lines] == ["not exact", "exact"]
    assert axes.get_xscale() == "linear"


def test_labels_decide_order_and_looks_also_where_a_level_is_missing():
    labels = {"nuclear": "nuclear norm", "flat": "flat minimum"}
    both, one = evidence_of(noisy), evidence_of(noisy).select(method="flat")
    settings = {"x": "d", "y": "error", "by": "method", "labels": labels}
    curves = CurvesDisplay.from_evidence(both, "c", "C", **settings).lines
    assert [(curve.label, curve.look) for curve in curves] == [("nuclear norm", 0), ("flat minimum", 1)]
    assert [curve.look for curve in CurvesDisplay.from_evidence(one, "c", "C", **settings).lines] == [1]


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
        (lambda e: ScatterDisplay.from_evidence(e, "s", "S", x="gap", y="error", factor=0.0), "has the factor 0.0"),
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
