"""The page about experiments: what it says, and how it works and looks in a real browser."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flatmin.errors import InputError
from flatmin.lab import Evidence, write_report
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay
from flatmin.lab.pages.findings import Finding, in_words
from flatmin.lab.pages.page import experiments_page
from flatmin.report.words import number
from tests.lab.findings import EVIL, SCRIPT, all_evidence, check, of_curves, of_map
from tests.report.chromium import BROWSER, CONTRASTS, Chromium

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome to open the page"
)


#: Where pictures of the page are kept.
PICTURES = Path(os.environ.get("FLATMIN_SCREENSHOTS") or Path(__file__).parents[3] / "artifacts" / "screenshots")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


#: What takes the focus, in the order of the page: links, heads that sort, folded data, and what scrolls.
STOPS = """(() => { window.stops = [...document.querySelectorAll("a[href], summary, button, [tabindex]")]
  .filter(e => e.checkVisibility()); return stops.map(e => e.tagName + " " + e.textContent.trim().slice(0, 40)); })()"""


FOCUS = """(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
  return [stops.indexOf(e), e.matches(":focus-visible") && s.outlineStyle !== "none" ? parseFloat(s.outlineWidth) : 0,
    r.right > 0 && r.bottom > 0 && r.top < innerHeight && r.left < innerWidth]; })()"""


#: What sticks out of the window, other than what has a bar of its own to scroll by.
OUT = """[...document.querySelectorAll("main, main *, header *, footer *")].filter(e => !e.closest(".wide *, defs")
  && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""


#: Heights of the smallest texts of drawings, in pixels of the screen, and whether a wide one is scrolled by itself.
SIZES = """(() => {
  const size = t => parseFloat(getComputedStyle(t).fontSize), m = t => t.getScreenCTM();
  const height = t => size(t) * Math.hypot(m(t).a, m(t).b);
  const bars = [...document.querySelectorAll("figure.broad > .wide")].map(e => e.scrollWidth > e.clientWidth);
  return [Math.min(...[...document.querySelectorAll(".drawing text")].map(height)), ...bars,
    document.documentElement.scrollWidth > innerWidth]; })()"""


def test_the_verdict_counts_claims_and_trials(html):
    text = check(html)
    assert "2 claims hold, 3 fail and 1 is not tested here, over 367 trials of 3 experiments." in text
    assert (
        "Fails: curves (1 claim of 2), lost (1 claim of 1) and mapped (1 claim of 3). Not tested here: mapped (" in text
    )
    assert "Undecided: mapped" not in text
    assert "Only a part of the grid" not in text
    assert "6 trials failed and count for nothing." in text
    facts = {
        f.name: f.value for f in experiments_page([Finding.from_evidence(each) for each in all_evidence()]).highlights
    }
    assert (facts["Trials"], facts["Failed trials"]) == ("367", "6")


def test_every_claim_stands_with_its_verdict_number_interval_and_limit(html):
    text = check(html)
    claims = Finding.from_evidence(of_map()).claims
    assert [claim.verdict for claim in claims] == ["holds", "fails", "undecided"]
    for claim, word in zip(claims, ("Holds:", "Fails:", "Not tested here:"), strict=True):
        assert f"{claim.text[:1].upper()}{claim.text[1:]} {word} {in_words(claim)}" in text
    low, high = (number(end) for end in (claims[0].low, claims[0].high))
    assert f"Holds: {number(claims[0].estimate)}, interval {low} to {high}; expected at most 3." in text


def test_a_recipe_shows_its_figures_then_a_table_of_verdicts_then_details(html, tmp_path):
    """On a page of several recipes the overview, which leads to the sections, comes first all the same."""
    write_report(tmp_path / "one.html", [of_map()])
    one = (tmp_path / "one.html").read_text(encoding="utf-8")
    for text in (one, html[html.index('<section id="experiment-mapped"') :]):
        verdicts = text.index("<caption>Verdicts</caption>")
        assert 0 < text.index("<figure") < verdicts < text.index('<div class="leads">')
        assert verdicts < text.index('<ul class="statements">')
        rows = re.findall(r"<tr><td>(\w[\w ]*)</td><td>\d\. ", text[verdicts:])
        assert rows[:3] == ["Holds", "Fails", "Not tested here"]
    assert '<table class="overview">' not in one
    assert html.index('<table class="overview">') < html.index("<figure")


def test_the_overview_leads_to_every_claim_and_section(html):
    page = experiments_page([Finding.from_evidence(Evidence(each.experiment, each.results)) for each in all_evidence()])
    (overview,) = [section.overview for section in page.sections if section.overview]
    assert [line.title for line in overview.lines] == ["curves", "lost", "mapped"]
    assert [line.cells[0] for line in overview.lines] == ["all hold", "no claim", "1 of 3 fails"]
    assert [line.cells[1] for line in overview.lines] == ["41 of 45 trials", "0 of 2 trials", "320 trials"]
    assert [chip.holds for chip in overview.lines[2].chips] == [True, False, None]
    for line in overview.lines:
        assert f'id="{line.target}"' in html
        for chip in line.chips:
            assert f'id="{chip.target}"' in html
            assert f'href="#{chip.target}"' in html


@pytest.mark.parametrize(("verdicts", "good"), [((1, 1), True), ((1, 3), False), ((1, None), False), ((), False)])
def test_only_a_page_on_which_all_claims_hold_is_good_news(verdicts, good):
    claims = tuple(
        Claim.open("x", below=2) if v is None else Claim.exact("the value", float(v), below=2) for v in verdicts
    )
    page = experiments_page([replace(Finding.from_evidence(of_curves()), claims=claims)])
    assert page.verdict.good is good


def test_strings_are_escaped(html, tmp_path):
    for text in (EVIL, "<i>noise</i>", "<b>"):
        assert text not in SCRIPT.sub("", html)
    evil = replace(of_map().experiment, judge=lambda evidence: [Claim.exact("<script>x</script>", 1.0, below=2)])
    path = tmp_path / "evil.html"
    write_report(path, [Evidence(evil, of_map().results)], title="<script>t", command="<script>c", notes=["<script>n"])
    check(path.read_text(encoding="utf-8"))


def test_every_figure_has_words_and_its_data(html):
    outline = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(outline) == 4
    displays = [display for each in all_evidence() for display in Finding.from_evidence(each).displays]
    for figure, display in zip(outline, displays, strict=True):
        assert display.caption
        assert display.caption.replace(" %", "\N{NO-BREAK SPACE}%") in unescape(figure)
        assert re.search(r'role="img" aria-label="[^"]{40,}"', figure)
        assert re.search(r"<details>\s*<summary>Data: ", figure)
        assert 'data-key="' in figure


def test_a_refusal_to_judge_or_draw_is_said_and_other_errors_are_not_swallowed():
    def refuse(_):
        raise InputError("there is no torch")

    def fall(_):
        raise ZeroDivisionError

    refused = Finding.from_evidence(
        Evidence(replace(of_curves().experiment, judge=refuse, show=refuse), of_curves().results)
    )
    text = str(experiments_page([refused]))
    assert "The claims could not be judged: there is no torch." in text
    assert "The figures could not be drawn: there is no torch." in text
    with pytest.raises(ZeroDivisionError):
        Finding.from_evidence(Evidence(replace(of_curves().experiment, judge=fall), of_curves().results))


def test_addresses_are_apart_whatever_recipes_are_called(tmp_path):
    names = ("reading", "overview", "a", "a.claim-1", "a b", "a-b", "a_20_b", "ä<b>")
    curves, few = of_curves().experiment, of_curves().results[:9]
    curve = replace(curves, show=lambda evidence: curves.show(evidence)[:1])
    write_report(tmp_path / "a.html", [Evidence(replace(curve, name=name), few) for name in names])
    check((tmp_path / "a.html").read_text(encoding="utf-8"))


def test_numbers_of_numpy_are_shown_and_sorted_as_those_of_python():
    @dataclass(kw_only=True)
    class Odd(CurvesDisplay):
        def table(self):
            return ["x"], [
                (np.int64(-3),),
                (np.float32(0.5),),
                (np.bool_(True),),
                (np.float64("nan"),),
                (None,),
                ("y",),
            ]

    (display, _) = of_curves().experiment.show(of_curves())
    odd = Odd(**{field.name: getattr(display, field.name) for field in fields(display) if field.init})
    finding = replace(Finding.from_evidence(of_curves()), displays=(odd,))
    table = experiments_page([finding]).sections[0].figures[0].table
    assert [row[0] for row in table.rows] == ["−3", "0.5", "yes", "not known", "–", "y"]
    assert [row[0] for row in table.keys] == [-3.0, 0.5, 1.0, None, None, "y"]


@needs_browser
def test_the_page_opens_without_complaints_and_a_planted_error_is_heard(browser, file, html, tmp_path):
    browser.open(file.as_uri())
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run("document.querySelectorAll('th button').forEach(b => b.click())")
    assert browser.complaints == []
    for planted in ("<script>absent();</script>", "<img src='absent.png' alt='x'>", "<script>console.warn(1)</script>"):
        path = tmp_path / "planted.html"
        path.write_text(html.replace("</body>", f"{planted}</body>"), encoding="utf-8")
        browser.open(path.as_uri())
        assert len(browser.complaints) == 1


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("unfolded", [False, True])
def test_keys_alone_reach_everything_in_order_and_it_shows(browser, file, unfolded):
    browser.open(file.as_uri())
    if unfolded:
        browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    names = browser.run(STOPS)
    assert [name for name in names if name.startswith("A ")][:2] == ["A Skip to the results", "A Overview"]
    assert sum(name.startswith("SUMMARY Data: ") for name in names) == 4
    assert any(name.startswith("BUTTON ") for name in names) == unfolded
    found = []
    for _ in names:
        browser.press("Tab")
        found.append(browser.run(FOCUS))
    assert [index for index, _, _ in found] == list(range(len(names)))
    assert all(outline >= 2 for _, outline, _ in found)
    assert all(seen for _, _, seen in found)
    browser.press("Tab", shift=True)
    assert browser.run(FOCUS)[0] == len(names) - 2


@pytest.mark.slow
@needs_browser
def test_keys_skip_to_the_results_unfold_data_and_sort_them(browser, file):
    browser.open(file.as_uri())
    browser.press("Tab")
    browser.press("Enter")
    assert browser.run("location.hash") == "#content"
    browser.press("Tab")
    assert browser.run("document.activeElement.closest('main') !== null")
    browser.run("document.querySelector('summary').focus()")
    browser.press("Enter")
    assert browser.run("document.querySelector('details').open")
    browser.press("Tab")
    browser.press("Tab")
    assert browser.run("document.activeElement.tagName") == "BUTTON"
    browser.press("Enter")
    assert browser.run("document.activeElement.closest('th').ariaSort") == "ascending"
    browser.press("Space")
    assert browser.run("document.activeElement.closest('th').ariaSort") == "descending"


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_stands_out_in_both_colour_schemes(browser, file, dark):
    browser.open(file.as_uri(), dark=dark)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(17, 21, 26)" if dark else "rgb(247, 247, 245)"
    )
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run("document.querySelectorAll('.statements li')[2].id && (location.hash = 'experiment-mapped.claim-2')")
    found = browser.run(CONTRASTS)
    assert sum(drawn for _, _, drawn in found) > 30
    assert len(found) > 400
    assert [pair for pair in found if pair[0] < 4.5] == []
    browser.run("document.querySelector('h1').style.color = getComputedStyle(document.body).backgroundColor")
    assert [text for ratio, text, _ in browser.run(CONTRASTS) if ratio < 4.5] == ["Experiments"]


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_and_is_pictured(browser, file, width, dark):
    """Pictures are in ``artifacts/screenshots``, or in the folder that FLATMIN_SCREENSHOTS names."""
    browser.open(file.as_uri(), width=width, dark=dark)
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"experiments-{width}-{'dark' if dark else 'light'}.png"
    browser.picture(picture)
    with Image.open(picture) as drawn:
        assert drawn.size[0] == width
        assert drawn.convert("RGB").getpixel((2, 2)) == ((17, 21, 26) if dark else (247, 247, 245))
        assert len(drawn.convert("RGB").getcolors(1 << 24)) > 100
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(OUT) == []
    heights = browser.run("[...document.querySelectorAll('.drawing')].map(f => f.getBoundingClientRect().height)")
    assert len(heights) == 4
    assert min(heights) > 100
    browser.run("document.querySelector('h1').style.width = '2000px'")
    assert len(browser.run(OUT)) == 1


@pytest.mark.slow
@needs_browser
def test_words_in_figures_can_be_read_on_a_telephone_and_wide_figures_are_scrolled_there(browser, tmp_path):
    curves, several = of_curves(), of_map()

    def show(evidence):
        return [replace(display, wide=True) for display in curves.experiment.show(evidence)[:1]]

    path = tmp_path / "wide.html"
    write_report(path, [Evidence(replace(curves.planned, show=show), curves.results), several])
    check(path.read_text(encoding="utf-8"))
    for width, scrolled in ((360, True), (1280, False)):
        browser.open(path.as_uri(), width=width)
        smallest, *bars = browser.run(SIZES)
        assert smallest > 7.5
        assert bars == [scrolled, False]
        assert browser.run(OUT) == []


@pytest.mark.slow
@needs_browser
def test_figures_are_pictures_with_names_to_whoever_cannot_see_them(browser, file):
    browser.open(file.as_uri())
    names = browser.run(
        "[...document.querySelectorAll('figure')].map(f => { const d = f.querySelector('[role=img]');"
        "return [d.ariaLabel, d.querySelector('svg').getAttribute('aria-hidden')]; })"
    )
    assert len(names) == 4
    assert all(len(label) > 40 and hidden == "true" for label, hidden in names)
    marks = browser.run("[...document.querySelectorAll('.mark')].every(m => m.ariaHidden === 'true')")
    assert marks
