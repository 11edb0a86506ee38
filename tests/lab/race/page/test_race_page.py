"""The page about a race: what it says, that it is sound, and how it looks in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from flatmin.families import phase_retrieval
from flatmin.lab.displays import page_svg
from flatmin.lab.displays.style import look
from flatmin.lab.race.page.race_page import _scatter, medians, write_race
from flatmin.lab.race.page.ranking import Ranking
from tests.lab.race.example_races import ENDS, NETWORK, example_race, flattest
from tests.report.test_page import check as check_without_script
from tests.report.test_page_in_a_browser import BROWSER, browse

SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome to open the page")


@pytest.fixture(scope="module")
def usual():
    return example_race(diverged=lambda name, seed: (name, seed) == ("muon", 3))


@pytest.fixture(scope="module")
def html(usual, tmp_path_factory):
    """The page about the usual race."""
    return written(tmp_path_factory.mktemp("usual"), usual, command="flatmin race matrix-sensing p.npz")


def check(html: str) -> str:
    """Assert that a page is sound, with one script of its own at most, and return its text."""
    assert html.count("<script") <= 1
    return check_without_script(SCRIPT.sub("", html))


def written(tmp_path, result, **more):
    path = tmp_path / "report.html"
    write_race(path, result, **{"title": "p.npz", **more})
    return path.read_text(encoding="utf-8")


def test_the_verdict_names_who_came_near_and_what_their_errors_are(html, usual):
    text = check(html)
    near = "Within 1 % of the flattest value: gradient-descent-small, trace-penalty and weight-decay."
    assert near in text[:300]
    errors = sorted(r["relative_error"] for r in usual.summary() if r["competitor"] in near)
    assert f"Their median error is from {errors[0]:.2g} to {errors[2]:.2g}" in text
    assert f"The rank correlation of flatness gap and error is {usual.correlation.value:.2g} (95 % interval" in text
    assert "the flatter the run, the smaller its error" in text
    assert "flatmin race matrix-sensing p.npz" in text
    for name in ENDS:
        assert name in text
    assert "muon: seed 3, after 78 gradients" in text
    assert "gradient-descent-large-step: seeds 0, 1, 2, 3 and 4, after 78 gradients" in text


def test_who_does_not_fit_is_not_called_flat(html, usual):
    """At zero weights the gap is 0: a competitor that never moved must not win."""
    reading = Ranking(usual)
    table = medians(reading).table
    fits = {row[0]: row[table.head.index("Fits")] for row in table.rows}
    assert {name for name, word in fits.items() if word == "no"} == {"two-point", "gradient-descent-large-step"}
    assert reading.result.summary()[1]["competitor"] == "two-point"
    assert reading.names[-2:] == ["two-point", "gradient-descent-large-step"]
    assert "two-point" not in [row["competitor"] for row in reading.near[1]]
    warning = "two-point does not fit the data: its loss is still above 0.01, 1 % of that of the zero prediction"
    assert warning in check(html)


def test_a_newcomer_is_told_what_is_shown(html, tmp_path):
    text = check(html)
    for part in (
        "What is shown",
        "4000 gradients",
        "0 is as flat as can be",
        "Press the head of a column to sort by it",
    ):
        assert part in text
    assert text.index("What is shown") < text.index("Medians")
    network = check(written(tmp_path, example_race(("sgd", "adam", "muon"), of=NETWORK)))
    assert "data that no competitor has seen" in network
    assert "as flat as can be" not in network


def test_the_protocol_is_in_words(tmp_path, usual):
    protocol = {**usual.protocol, "seeds": (0, 1), "tuning_seed": 1_000_000, "share": 0.25, "budget_of_something": 3}
    text = check(written(tmp_path, replace(usual, protocol=protocol)))
    for part in ("Seeds of the scored runs 0 and 1", "Seed of the trials 1000000", "Budget of something 3"):
        assert part in text
    assert "Share" not in text


@pytest.mark.slow
def test_nobody_near_and_nobody_fits(tmp_path):
    far = check(written(tmp_path, example_race(("adam", "sgd", "muon"))))
    assert "No competitor that fits the data came near the flattest value. sgd came nearest, with a flatness gap" in far
    lost = check(written(tmp_path, example_race(("gradient-descent-large-step", "two-point"))))
    assert "No competitor fits the data within its budget." in lost[:300]
    alone = check(written(tmp_path, example_race(("gradient-descent-large-step",), seeds=1)))
    assert "1 of 1" in alone


def test_a_median_rank_is_not_rounded(usual):
    rows = [{**row, "rank": None if row["rank"] is None else row["rank"] + 0.5} for row in usual.table]
    table = medians(Ranking(replace(usual, table=rows))).table
    assert {row[table.head.index("Rank")] for row in table.rows} == {"2.5", "4.5", "–"}


@pytest.mark.slow
def test_where_all_are_equally_flat_the_page_says_so_and_shows_error_against_loss(tmp_path):
    determined = flattest(phase_retrieval, (6, 5), 40)
    text = check(written(tmp_path, example_race(of=determined, gap=False)))
    assert "all weights that fit are equally flat, and the flatness gap is 0 all along every run" in text
    assert "All solutions are equally flat here, so competitors are compared by their fit" in text[:300]
    assert "Error against loss." in text
    assert "flatness gap at the end" not in text
    assert "loss at the end" in text
    assert "rank correlation of flatness gap" not in text


def test_without_a_truth_nothing_is_said_of_errors(tmp_path):
    text = check(written(tmp_path, example_race(error=False)))
    assert "The truth is not known, so there are no errors." in text
    assert "Rank correlation" not in text


def test_networks_have_no_flattest_value(tmp_path):
    text = check(written(tmp_path, example_race(of=NETWORK)))
    assert "Flattest value" not in text
    assert "error on the test set" in text
    assert "scaled trace" in text


def test_strings_of_the_user_are_escaped(tmp_path, usual):
    evil = "<script>alert(1)</script>"
    html = written(tmp_path, usual, title=evil, subtitle=evil, command=evil, notes=[evil])
    assert evil not in html
    check(html)


def test_who_could_not_run_is_told(tmp_path):
    text = check(written(tmp_path, example_race(("sgd", "adam", "muon"), left_out={"sam": "it needs single samples"})))
    assert "sam did not run: it needs single samples" in text


def test_infinite_and_unknown_numbers_have_no_key_and_come_last(usual):
    table = medians(Ranking(usual)).table
    assert [keys[0] for keys in table.keys] == Ranking(usual).names
    for cells, keys in zip(table.rows, table.keys, strict=True):
        assert len(cells) == len(keys) == len(table.head)
        assert [key is None for key in keys] == [cell in ("∞", "–") for cell in cells]


def test_each_competitor_has_its_own_mark_in_the_picture_of_errors(usual):
    display = _scatter(Ranking(usual), "Errors")
    shown = [name for name in Ranking(usual).names if name != "gradient-descent-large-step"]
    assert display.words == shown, "one whose runs all diverged is not in the legend"
    looks = [look(cloud.look) for cloud in display.clouds]
    assert len({(style["color"], style["marker"]) for style in looks}) == len(shown)
    assert sum(len(cloud.points) for cloud in display.clouds) == 5 * len(shown) - 1
    none = replace(usual, table=[row for row in usual.table if row["diverged"]])
    assert "<svg" in page_svg(_scatter(Ranking(none), "None"), "none")


#: Appended to a copy of the page: sorts by each column and reports what came of it.
PRESS = """<script>
const body = document.querySelector(".sorted tbody"), heads = [...document.querySelectorAll(".sorted th")], found = {};
const column = i => [...body.rows].map(row => row.cells[i].dataset.key ?? null);
heads.forEach((head, i) => {
  const button = head.querySelector("button"), both = [];
  for (let k = 0; k < 2; k++) { button.focus(); button.click(); both.push([head.ariaSort, column(i)]); }
  found[head.textContent] = [document.activeElement === button, both];
});
document.documentElement.dataset.found = JSON.stringify(found);
</script>"""


@pytest.mark.slow
@needs_browser
def test_the_table_is_sorted_by_any_column(tmp_path, html):
    path = tmp_path / "report.html"
    path.write_text(html.replace("</body>", PRESS + "</body>"), encoding="utf-8")
    dom = browse(tmp_path / "profile", path.as_uri(), False, "--dump-dom", "--virtual-time-budget=4000")
    found = json.loads(unescape(re.search(r'data-found="([^"]*)"', dom)[1]))
    assert set(found) >= {"Competitor", "Gap", "Error", "Loss", "Diverged"}
    for name, (focused, both) in found.items():
        assert focused
        assert [direction for direction, _ in both] == ["ascending", "descending"]
        for direction, keys in both:
            known = [key if name == "Competitor" else float(key) for key in keys if key is not None]
            assert known == sorted(known, reverse=direction == "descending")
            assert keys[len(known) :] == [None] * (len(keys) - len(known))


PROBE = """<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const all = [...document.querySelectorAll("main, main *")].filter(e => !e.closest(".wide *, defs"));
parent.postMessage({ name: location.pathname.split("/").pop(), width: innerWidth,
  scroll: document.documentElement.scrollWidth,
  out: all.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 120)),
  flat: [...document.querySelectorAll("figure")].filter(f => f.getBoundingClientRect().zero_loss < 60).length,
}, "*");
</script>"""


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_every_width(dark, tmp_path, usual):
    """Set FLATMIN_SCREENSHOTS to a folder to keep pictures."""
    from tests.report.test_page_in_a_browser import FRAMES

    frames = FRAMES
    pages = {"usual": usual, "network": example_race(("sgd", "adam", "muon"), of=NETWORK)}
    for name, result in pages.items():
        path = tmp_path / f"{name}.html"
        long = "measured-without-any-space-" * 5
        write_race(path, result, title=long, subtitle=long, command=f"flatmin race matrix-sensing {long}", notes=[long])
        path.write_text(path.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
        frames += "".join(f'<iframe src="{path.name}" width="{w}" height="800"></iframe>' for w in (360, 400, 1280))
    (tmp_path / "frames.html").write_text(frames.replace("<iframe", '<iframe style="border:0"'), encoding="utf-8")
    address = (tmp_path / "frames.html").as_uri()
    dom = browse(tmp_path / "profile", address, dark, "--dump-dom", "--virtual-time-budget=8000")
    found = json.loads(unescape(re.search(r'data-found="([^"]*)"', dom)[1]))
    assert len(found) == 3 * len(pages)
    for frame in found:
        assert frame["out"] == []
        assert frame["scroll"] <= frame["width"]
        assert frame["flat"] == 0
    if "FLATMIN_SCREENSHOTS" in os.environ:
        picture = tmp_path / f"race-{'dark' if dark else 'light'}.png"
        size = "--window-size=1100,5000"
        browse(tmp_path / "profile", (tmp_path / "usual.html").as_uri(), dark, size, f"--screenshot={picture}")
        shutil.copy(picture, os.environ["FLATMIN_SCREENSHOTS"])


def test_made_races_are_as_a_race_returns_them(usual):
    """The pages are tried on outcomes that no race made: they must look like those that one did."""
    from flatmin.lab.race.result import COLUMNS, CURVES

    for row in usual.table:
        assert set(row) == set(COLUMNS)
    for curves in usual.trajectories.values():
        assert tuple(curves) == CURVES
        assert not any(np.isnan(curve).any() for curve in curves.values())
