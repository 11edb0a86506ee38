from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import flatmin as fm
from flatmin.families import bilinear_sensing, matrix_sensing
from flatmin.measurements import Entries
from flatmin.parametrizations import Product
from flatmin.report.page import Fact, Page, Section, Table, Verdict, render
from flatmin.solution import Status
from tests.report.made import context_of

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """What a browser would have to forgive, and what a reader depends on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.ids, self.links, self.headings, self.nameless, self.text, self.loads = (
            [],
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def _attributes(self, tag, attrs):
        self.text += [attrs["aria-label"]] if attrs.get("class") == "formula" else []
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.links += [attrs["href"]] if tag == "a" else []
        self.loads += [attrs[a] for a in ("src", "href", "data", "srcset") if a in attrs and tag != "a"]
        if (tag == "img" and not attrs.get("alt")) or (attrs.get("role") == "img" and not attrs.get("aria-label")):
            self.nameless.append(tag)


def check(html: str) -> str:
    """Assert that a page is sound and return its text."""
    outline = Outline(html)
    assert html.startswith("<!doctype html>")
    assert len(outline.ids) == len(set(outline.ids))
    assert all(link[1:] in outline.ids for link in outline.links if link.startswith("#"))
    assert all(target.startswith(("#", "data:")) for target in outline.loads)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "<script" not in html
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert not outline.nameless
    text = " ".join(" ".join(outline.text).split())
    assert not re.search(r"\b(nan|None|inf|True|False)\b", text)
    assert not re.search(r"\bnan\b", re.sub(r'"data:[^"]*"', "", html))
    return text


def test_certified_page_leads_with_the_verdict(page, above) -> None:
    text = check(page(above))
    assert "Certified: this is the flattest solution" in text[:400]
    for part in ("It fits the data", "No solution is flatter", "It is the only one", "The truth", "Fibre minimum"):
        assert part in text
    assert "The two agree" in text
    assert above.command in text


def test_below_the_threshold_it_warns_and_tells(page, below) -> None:
    text = check(page(below))
    assert "The flattest solution need not be the truth: a matrix of this rank has" in text
    assert "it is not the truth" in text
    assert "A note for the reader." in text


def test_strings_of_the_user_are_escaped(page, table) -> None:
    html = page(table)
    text = check(html)
    assert "<img src=http" not in html
    assert "Undetermined: no measurement sees 1 row (<b>row 4</b>)" in text
    assert "\0" not in html


def test_directions_that_no_measurement_sees_are_named(page) -> None:
    problem = fm.Problem(fm.measurements.Dense(np.ones((1, 1, 3))), [2.0])
    assert "2 directions of the columns are not measured" in check(page(context_of(problem)))


def test_image_shows_observed_beside_recovered(page, photo) -> None:
    html = page(photo)
    check(html)
    assert html.count('src="data:image/png') == 2
    assert "The observed image, 48 pixels high and 64 wide." in html


@pytest.mark.sampled(7)
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("unique", [True, False, None])
def test_every_status_and_answer_about_uniqueness(page, below, status, unique) -> None:
    certificate = replace(below.solution.certificate, unique=unique, holds=status.certified)
    solution = replace(below.solution, status=status, certificate=certificate)
    text = check(page(replace(below, solution=solution, truth=None)))
    assert status.certified is (text.find("Not certified") < 0)


def degenerate() -> list:
    one = Entries([0], [0], (1, 1))
    wide = Entries([0, 0, 0], [0, 2, 5], (1, 6))
    twice = Entries([0, 0, 1], [0, 0, 1], (2, 2))
    sensing = matrix_sensing.sample((5, 4), 1, 1).problem
    some = matrix_sensing.sample((6, 5), 2, 12).problem
    return [
        pytest.param(fm.Problem(one, [2.0]), {}, id="1 by 1"),
        pytest.param(fm.Problem(one, [0.0]), {}, id="1 by 1, zero"),
        pytest.param(fm.Problem(wide, [1.0, 2.0, 3.0]), {}, id="one row, unseen columns"),
        pytest.param(fm.Problem(wide, np.zeros(3)), {}, id="rank 0"),
        pytest.param(fm.Problem(twice, [1.0, 2.0, 3.0]), {}, id="inconsistent"),
        pytest.param(sensing, {}, id="one measurement"),
        pytest.param(some, {"max_iter": 0}, id="no iteration"),
        pytest.param(some, {"alpha": 0.1}, id="penalised"),
        pytest.param(some, {"metric_power": 0.0}, id="nuclear norm"),
        pytest.param(bilinear_sensing.sample((6, 5), 1, 40).problem, {}, id="bilinear"),
        pytest.param(fm.Problem(fm.measurements.Identity((3, 3)), np.eye(3).ravel()), {}, id="full rank"),
    ]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("problem", "options"), degenerate())
@pytest.mark.parametrize("kind", ["matrix", "table"])
def test_degenerate_problems(page, problem, options, kind) -> None:
    context = context_of(problem, fm.flat_minimum(problem, **options), kind=kind, truth=np.zeros(problem.shape))
    check(page(context))


def test_solution_without_history_and_with_zero_gaps(page, above) -> None:
    for history in (
        {},
        {name: np.zeros(0) for name in ("iteration", "seconds", "residual", "gap", "rank")},
        {"iteration": [1.0], "seconds": [0.0], "residual": [0.0], "gap": [0.0], "rank": [2.0]},
        {"iteration": [1.0, 2.0], "residual": [np.nan, np.inf], "gap": [0.0, -1e300]},
    ):
        solution = replace(above.solution, history={name: np.array(values) for name, values in history.items()})
        check(page(replace(above, solution=solution)))


def huge(shape, m, **more):
    """A context with made-up factors: the report does not depend on a solve."""
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(0, shape[0] * shape[1], m))
    L, R = (rng.standard_normal((n, 3)) for n in shape)
    A = Entries(*np.divmod(cells, shape[1]), shape)
    problem = fm.Problem(A, A.forward_factors(L, R))
    small = fm.flat_minimum(matrix_sensing.sample((3, 3), 1, 9).problem)
    return context_of(problem, replace(small, factors=(L, R)), **more)


@pytest.mark.slow
def test_a_large_matrix_is_never_formed_and_the_file_stays_small(page, monkeypatch) -> None:
    context = huge((5000, 5000), 300_000)
    form = Product.matrix

    def small_only(self, factors):
        assert len(factors[0]) * len(factors[1]) <= 160**2
        return form(self, factors)

    monkeypatch.setattr(Product, "matrix", small_only)
    start = time.process_time()
    html = page(context)
    assert time.process_time() - start < 10
    assert len(html) < 700_000
    assert "160 of 5000 rows and 160 of 5000 columns, evenly spaced." in check(html)


@pytest.mark.slow
def test_thousands_of_labelled_columns(page) -> None:
    context = huge((12, 4000), 9000, kind="table", column_labels=[f"c{i}" for i in range(4000)])
    text = check(page(replace(context, row_labels=[f"r{i}" for i in range(12)])))
    assert "160 of 4000 columns" in text


def test_error_comes_from_the_summary_when_given(page, above) -> None:
    text = check(page(replace(above, summary={"relative_error": 0.125, "sigma": 0.5}, truth=None)))
    assert "relative error is 0.125" in text
    assert "estimated" in text


def test_report_is_repeatable(page, above) -> None:
    assert page(above) == page(above)


def test_importing_flatmin_or_the_interface_loads_no_drawing() -> None:
    code = "import sys, flatmin, flatmin.report; print({'matplotlib', 'jinja2', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_names_from_files_neither_run_nor_turn_the_page():
    hostile = "<script>alert(1)</script>\u202ex\x1b[31m\0\ud800\u200f\"'{{7*7}}"
    page = Page(
        hostile,
        hostile,
        hostile,
        Verdict(True, hostile, hostile),
        [Fact(hostile, hostile, hostile)],
        [
            Section("a", hostile, [hostile], table=Table(hostile, [hostile], [[hostile]], keys=[[hostile]])),
        ],
    )
    html = render(page)
    html.encode("utf-8")
    assert not any(sign in html for sign in ("<script>alert", "\u202e", "\x1b", "\0", "\u200f", "49"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\ufffdx" in html
