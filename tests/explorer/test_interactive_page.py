"""The explorer: its numbers are those of the library, its methods do what the page says, and it can be used by all."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import flatmin as fm
from flatmin.cli import main
from flatmin.explorer import fragment, page, write_explorer
from tests.report.chromium import BROWSER, Chromium

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome to open the page")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    write_explorer(folder / "explorer.html")
    with Chromium(folder / "profile") as opened:
        opened.address = (folder / "explorer.html").as_uri()
        yield opened


def test_nothing_is_loaded_from_a_network():
    assert page().count("<h1>") == 1
    assert set(re.findall(r"https?://[^\s\"']+", page())) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=", fragment())


def test_the_command_writes_a_page_and_replaces_only_its_own(tmp_path, capsys):
    file = tmp_path / "page.html"
    assert main(["explore", "--no-open", "--output", str(file)]) == 0
    assert main(["explore", "--no-open", "--output", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == page()
    file.write_text("mine", encoding="utf-8")
    assert main(["explore", "--no-open", "--output", str(file)]) == 2
    assert "no former page" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "mine"
    assert main(["explore", "--no-open", "--output", str(tmp_path / "absent" / "page.html")]) == 2


@needs_browser
def test_completions_of_random_tables_are_those_of_the_library(browser):
    """Each table is typed into the page, and cells are clicked; rows and columns may be empty."""
    browser.open(browser.address)
    browser.run("document.documentElement.root = document.querySelector('#explorer-table')")
    rng, unique = np.random.default_rng(7), 0
    for seed in range(20):
        d1, d2, rank = *rng.integers(2, 7, 2), 1 + seed % 2
        X = (rng.standard_normal((d1, rank)) @ rng.standard_normal((rank, d2))).round(3)
        shown = rng.random(X.shape) < rng.uniform(0.45, 0.95)
        shown[0, 0] = True
        lines = "\n".join(" ".join(map(str, row)) for row in X.tolist())
        found = browser.run(
            f"""(() => {{
              const root = document.documentElement.root;
              root.querySelector("textarea").value = {json.dumps(lines)};
              root.querySelector("form button").click();
              const buttons = [...root.querySelectorAll(".cells button")];
              {json.dumps((~shown).ravel().tolist())}.forEach((hidden, k) => hidden && buttons[k].click());
              const {{ trace, bound, unique, rank }} = document.querySelector(".explorer").table.result;
              return {{ trace, bound, unique, rank, X: buttons.map((button) => Number(button.dataset.value)) }};
            }})()"""
        )
        rows, cols = np.nonzero(shown)
        problem = fm.Problem(fm.measurements.Entries(rows, cols, X.shape), X[rows, cols])
        solution = fm.flat_minimum(problem, tol=1e-12)
        trace = fm.flatness(problem, solution.factors).scaled_trace
        assert found["trace"] == pytest.approx(trace, rel=1e-6)
        assert found["bound"] == pytest.approx(trace, rel=1e-6)
        assert found["unique"] == (solution.certificate.unique is True)
        if found["unique"]:
            unique += 1
            np.testing.assert_allclose(np.reshape(found["X"], X.shape), solution.matrix, atol=1e-6 * np.abs(X).max())
            assert found["rank"] == solution.rank
    assert unique >= 10
    assert browser.complaints == []


@needs_browser
@pytest.mark.parametrize("model", ["number", "table"])
def test_noise_and_a_penalty_reach_the_flattest_point_and_descent_does_not(browser, model):
    browser.open(browser.address)
    gaps = browser.run(
        f"""(() => {{
          document.querySelector("[name=model][value={model}]").click();
          const {{ valley }} = document.querySelector(".explorer");
          valley.advance(4000);
          return Object.fromEntries(valley.runs.map(({{ name, run }}) => [name, run.records.at(-1).gap]));
        }})()"""
    )
    assert gaps["gradient descent"] > 1
    assert gaps["label noise"] < 0.1
    assert gaps["trace penalty"] < 0.2
    assert gaps["SAM"] < 0.5
    assert browser.complaints == []


@needs_browser
@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_window(browser, width, dark):
    browser.open(browser.address, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelector('.explorer').classList.contains('dark')") is dark
    assert browser.complaints == []


@needs_browser
def test_the_page_is_used_by_keys(browser):
    browser.open(browser.address)
    moved = browser.run(
        """(() => {
          const { valley, table } = document.querySelector(".explorer"), before = valley.at.slice();
          const press = (element, key) =>
            element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          press(valley.plane, "ArrowUp");
          table.buttons[0][0].focus();
          press(table.buttons[0][0], "ArrowRight");
          return [before, valley.at, document.activeElement === table.buttons[0][1],
            [...document.querySelectorAll(".explorer .trial")].every((mark) => mark.tabIndex === 0 && mark.ariaLabel)];
        })()"""
    )
    assert moved[1][1] == pytest.approx(moved[0][1] + 0.1)
    assert moved[2:] == [True, True]


@needs_browser
def test_a_wrong_table_is_refused_in_a_sentence(browser):
    browser.open(browser.address)
    said = browser.run(
        """["1 2\\n3", "1 a", "", "1 2 3 4 5 6 7"].map((text) => {
          const root = document.querySelector("#explorer-table");
          root.querySelector("textarea").value = text;
          root.querySelector("form button").click();
          return root.querySelector(".mistake").textContent;
        })"""
    )
    assert all(text.startswith("Expected up to 6 lines") for text in said)
    assert browser.run("document.querySelector('.explorer').table.table.length") == 4
