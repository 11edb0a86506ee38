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
from flatmin.lab import Evidence, Result, recipes, write_report
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay
from flatmin.lab.pages.findings import Finding, in_words, tally
from flatmin.lab.pages.page import experiments_page
from flatmin.lab.pages.settings import settings_of, size_of
from flatmin.report.words import number
from tests.lab.experiments import known, recipe_of
from tests.lab.findings import EVIL, PROVENANCE, all_evidence, of_curves, of_map, of_nothing
from tests.report.chromium import BROWSER, Chromium
from tests.report.test_page import check as check_without_script

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome to open the page"
)
SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
#: Where pictures of the page are kept.
PICTURES = Path(os.environ.get("FLATMIN_SCREENSHOTS") or Path(__file__).parents[3] / "artifacts" / "screenshots")


def check(html: str) -> str:
    """Assert that a page is sound, with one script of its own at most, and return its text."""
    assert html.count("<script") <= 1
    return check_without_script(SCRIPT.sub("", html))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page about all evidence, with a command that has nowhere to break."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    command = f"flatmin report {'a-directory-without-any-space-' * 6}"
    write_report(path, all_evidence(), provenance=PROVENANCE, command=command, notes=["A note for the reader."])
    return path


@pytest.fixture(scope="module")
def html(file):
    return file.read_text(encoding="utf-8")


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


def judged(*values, of=None):
    """Return the page's finding with claims that values lie below 2, and that None does; a pair is an interval."""
    intervals = [v if isinstance(v, tuple) else (np.nan, -np.inf, np.inf) if v is None else (v, v, v) for v in values]
    claims = tuple(Claim("the value", *(v if len(v) == 3 else (sum(v) / 2, *v)), below=2) for v in intervals)
    return replace(of or Finding.from_evidence(of_nothing()), claims=claims)


@pytest.mark.parametrize(
    ("values", "outcome", "advice"),
    [
        ((1.0, 1.0), "all hold", ""),
        ((1.0, 3.0, 3.0), "2 of 3 fail", "Fails: lost (2 claims of 3)."),
        (((1.0, 3.0), 1.0), "1 of 2 undecided", "Undecided: lost (1 claim of 2)."),
        ((None, 1.0, 1.0), "1 of 3 not tested", "Not tested here: lost (1 claim of 3)."),
        ((3.0, (1.0, 3.0)), "1 of 2 fails", "Fails: lost (1 claim of 2). Undecided: lost (1 claim of 2)."),
    ],
)
def test_what_fails_is_undecided_and_is_not_tested_is_told_apart_and_counted(values, outcome, advice):
    page = experiments_page([judged(*values)])
    assert page.sections[0].overview.lines[0].cells[0] == outcome
    assert page.verdict.advice == f"{advice} 2 trials failed and count for nothing.".lstrip()
    counts = {fact.name: int(fact.value) for fact in page.highlights[:4]}
    assert list(counts) == ["Claims that hold", "Claims that fail", "Undecided claims", "Claims not tested here"]
    assert list(counts.values()) == [values.count(1.0), values.count(3.0), values.count((1.0, 3.0)), values.count(None)]


def test_an_unfinished_sweep_says_so_and_how_much_is_there():
    curves = of_curves()
    few = Evidence(curves.planned, [*curves.results[:7], *curves.failed[:2]])
    page = experiments_page([Finding.from_evidence(few), Finding.from_evidence(of_nothing())])
    assert page.verdict.advice.startswith(
        "Only a part of the grid is there: curves (9 of 45 trials). Verdicts may change with the rest. "
    )
    assert page.sections[0].overview.lines[0].cells[1] == "9 of 45 trials"
    assert "What follows is from 9 of 45 trials; 2 failed." in page.sections[1].prose
    stranger = curves.experiment.trial({"method": "flat", "noise": 7.0}, 0)
    beyond = Evidence(curves.planned, [*few.results, Result(stranger, {"error": 1.0, "gap": 1.0})])
    assert size_of(beyond) == "8 trials, 7 of the grid's 45"


@pytest.mark.parametrize(("verdicts", "good"), [((1, 1), True), ((1, 3), False), ((1, None), False), ((), False)])
def test_only_a_page_on_which_all_claims_hold_is_good_news(verdicts, good):
    claims = tuple(
        Claim.open("x", below=2) if v is None else Claim.exact("the value", float(v), below=2) for v in verdicts
    )
    page = experiments_page([replace(Finding.from_evidence(of_curves()), claims=claims)])
    assert page.verdict.good is good


def test_settings_name_the_grid_the_trials_and_the_machines(html):
    text = check(html)
    facts = [fact.value for fact in settings_of(of_curves()) if fact.name in ("Cells", "Seeds")]
    assert facts == ["9", "15"]
    for part in (
        "Parameter d 40, 60, 80, 100",
        "Parameter m 40 to 400 (78 values)",
        "Repetitions Trials of each cell. 4",
        "Seeds Different random draws. The same for every method",
        "Trials 41 done, 4 failed. 45",
        "Store a.db and b.db",
        "In several stores Each counts once. 4 trials",
        "Computed 2023-11-14 to 2024-03-09",
        "Python 3.11 (300 trials) and not noted (2 trials)",
        "Other sources Computed with another state of flatmin's source than today's. 302 trials",
        f"others are never mixed in. {of_map().experiment.version}",
    ):
        assert part in text


def test_the_part_of_the_full_grid_is_that_of_the_recipe_that_is_known():
    recipe = recipes.find("figure-3")
    trials = list(recipe.trials())
    stranger = recipe.trial({"panel": "sensing", "method": "flat", "d": 11, "rank": 2, "m": 99}, 0)
    results = [Result(trial, {"success": True, "error": 0.0}) for trial in [*trials[:50], stranger]]
    page = experiments_page([replace(Finding.from_evidence(Evidence(recipe, results)), displays=())])
    facts = {fact.name: fact.value for fact in page.sections[1].parts[0].facts}
    assert facts["Part of the full grid"] == f"50 of {len(trials)}"
    assert "Part of the full grid" not in str(
        experiments_page([Finding.from_evidence(of_nothing())]).sections[1].parts[0].facts
    )


def test_failed_trials_are_a_claim_of_their_own():
    recipe = recipe_of(known, count=1000)
    trials = list(recipe.trials())

    def claims(failed):
        reasons = ["MemoryError: no memory"] * failed + [None] * (len(trials) - failed)
        results = [Result(trial, {}, 1.0, reason) for trial, reason in zip(trials, reasons, strict=True)]
        return Finding.from_evidence(Evidence(recipe, results)).claims

    assert claims(0) == ()
    found = {failed: claims(failed)[0] for failed in (1, 8, 25, 1000)}
    assert [claim.verdict for claim in found.values()] == ["holds", "undecided", "fails", "fails"]
    assert [claim.estimate for claim in found.values()] == pytest.approx([0.999, 0.992, 0.975, 0.0])
    assert {claim.above for claim in found.values()} == {0.99}
    (failing,) = (claim for claim in Finding.from_evidence(of_curves()).claims if claim.above == 0.99)
    assert failing.estimate == 41 / 45


def test_failures_stand_with_their_reasons_and_how_often(html):
    text = check(html)
    assert "4 trials of 45 failed, for 1 reason." in text
    assert f"{EVIL} 4 trials method " in text
    assert "2 trials of 2 failed, for 1 reason." in text
    assert "MemoryError: no memory 2 trials a " in text


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


def test_numbers_are_as_long_as_it_takes_to_see_on_which_side_of_the_limit_they_are():
    assert in_words(Claim("x", 0.99996, 0.99994, 0.99998, above=1)) == (
        "0.99996, interval 0.99994 to 0.99998; expected at least 1."
    )
    assert in_words(Claim("x", 3.0, -np.inf, np.inf, below=1)) == "3, interval without bounds; expected at most 1."
    assert in_words(Claim("x", 3.0, 2.0, np.inf, below=1)) == "3, interval from 2 on; expected at most 1."
    assert in_words(Claim("x", 3.0, -np.inf, 5.0, below=1)) == "3, interval up to 5; expected at most 1."
    assert tally([Claim.open("x", below=1)] * 2) == "2 claims are not tested here"
    assert tally([Claim("x", 1.0, 0.0, 2.0, below=1)] * 2) == "2 claims are undecided"


def test_bad_evidence_and_bad_places_are_one_sentence(tmp_path):
    good = of_curves()
    (tmp_path / "mine.html").write_text("my own page")
    for file, evidence, message in (
        ("a.html", [], "there is no evidence to report, expected that of one recipe at least"),
        ("a.html", [good, good], "there is evidence of curves more than once, expected each recipe once"),
        (".", [good], "is a directory, expected a file"),
        ("none/a.html", [good], "which is no directory; make it first"),
        ("mine.html", [good], "exists and is no former report of flatmin; choose another name"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            write_report(tmp_path / file, evidence)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]
    assert (tmp_path / "mine.html").read_text() == "my own page"


def test_a_page_is_replaced_whole_through_a_link_or_not_at_all(tmp_path, monkeypatch):
    write_report(tmp_path / "a.html", [of_nothing()])
    (tmp_path / "link.html").symlink_to("a.html")
    before = (tmp_path / "a.html").read_text()
    write_report(tmp_path / "link.html", [of_nothing()], title="Another")
    assert (tmp_path / "link.html").is_symlink()
    after = (tmp_path / "a.html").read_text()
    assert before.replace("Experiments", "Another") != before
    assert "<h1>Another</h1>" in after

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "a.html", [of_nothing()])
    assert (tmp_path / "a.html").read_text() == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "link.html"]


def test_a_recipe_of_ones_own_in_any_module(tmp_path):
    recipe = recipe_of(judge=lambda evidence: [Claim.of_mean("the mean", evidence.values("ratio"), below=1)])
    results = [Result(trial, recipe.cell(trial.parameters, trial.seed)) for trial in recipe.trials()]
    (finding,) = write_report(str(tmp_path / "own.html"), [Evidence(recipe, results)])
    assert [claim.verdict for claim in finding.claims] == ["holds"]
    assert "1 claim holds, over 20 trials of 1 experiment." in check((tmp_path / "own.html").read_text())


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
    table = experiments_page([finding]).sections[1].figures[0].table
    assert [row[0] for row in table.rows] == ["−3", "0.5", "yes", "not known", "–", "y"]
    assert [row[0] for row in table.keys] == [-3.0, 0.5, 1.0, None, None, "y"]


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


#: Text whose colour differs too little from what is behind it: the ratio of WCAG, and what is read.
CONTRASTS = """(() => {
  const parse = c => (c.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !e.checkVisibility() || e.closest("script, style")) continue;
    const style = getComputedStyle(e), ink = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(parse(ink)), light(behind(e))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), text.slice(0, 40), e.closest("svg") !== null]);
  }
  return found; })()"""


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


#: What sticks out of the window, other than what has a bar of its own to scroll by.
OUT = """[...document.querySelectorAll("main, main *, header *, footer *")].filter(e => !e.closest(".wide *, defs")
  && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""


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


#: Heights of the smallest texts of drawings, in pixels of the screen, and whether a wide one is scrolled by itself.
SIZES = """(() => {
  const size = t => parseFloat(getComputedStyle(t).fontSize), m = t => t.getScreenCTM();
  const height = t => size(t) * Math.hypot(m(t).a, m(t).b);
  const bars = [...document.querySelectorAll("figure.broad > .wide")].map(e => e.scrollWidth > e.clientWidth);
  return [Math.min(...[...document.querySelectorAll(".drawing text")].map(height)), ...bars,
    document.documentElement.scrollWidth > innerWidth]; })()"""


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
