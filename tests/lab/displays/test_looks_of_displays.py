"""How displays look: colours for all eyes, lines that differ in grey, words that do not overlap."""

import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import flatmin
from flatmin.lab.displays import (
    CurvesDisplay,
    ScatterDisplay,
)
from flatmin.lab.displays.style import COLOURS, look, printed
from tests.lab.evidence_of_displays import evidence_of, kinds, mapped, noisy, painted


@pytest.fixture(scope="module")
def displays():
    return kinds(mapped(), evidence_of(noisy))


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
        name: re.findall(rf"--{name}: (#\w+);", css)[mode]
        for name in ("first", "second", "third", "fourth", "ink", "card")
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
    for cycle in (COLOURS, COLOURS[:5], COLOURS[:4]):
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
