"""The built site: no warning, no dead link, and a real browser finds, opens, copies and switches as a reader would.

The variable FLATMIN_SITE names a folder with a built site, which is then used as it is.
"""

import contextlib
import functools
import http.server
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.report.chromium import BROWSER, CONTRASTS, Chromium

ROOT = Path(__file__).parents[1]
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome to open the site")
pytestmark = pytest.mark.slow

#: Pages of every kind.
PAGES = (
    *(
        "index",
        "start",
        "guide",
        "completion",
        "networks",
        "claims",
        "theory/cross_validation",
        "api/flatmin.MatrixCompletion",
    ),
    *("gallery/index", "gallery/first_steps/first_table"),
)
#: What sticks out of the window and has no bar of its own to scroll by.
OUT = """(() => {
  const scrolled = e => { for (e = e.parentElement; e; e = e.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX) && e !== document.body
        && e !== document.documentElement) return true; return false; };
  return [...document.querySelectorAll("main *, header *, footer *")].filter(e => e.checkVisibility()
    && e.getBoundingClientRect().right > innerWidth + 1 && !scrolled(e)).map(e => e.outerHTML.slice(0, 80)); })()"""
#: What has the focus, and how it shows it.
FOCUS = """(() => { const e = document.activeElement;
  const shows = e => { const s = getComputedStyle(e);
    return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 1; };
  return [e.tagName, e.matches(":focus-visible") && (shows(e) || shows(e.closest(".sd-card") ?? e))]; })()"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the site."""
    if built := os.environ.get("FLATMIN_SITE"):
        return Path(built)
    for package in ("pydata_sphinx_theme", "sphinx_gallery"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(folder / "doctrees")]
    done = subprocess.run([*build, "docs", str(folder / "html")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    """Return the address of a server of the site, which this process runs."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


def wait_for(browser, script, seconds=60):
    """Return the value of a script once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(AssertionError):  # a page that is being left does not answer
            if found := browser.run(script):
                return found
        time.sleep(0.1)
    raise AssertionError(script)


def complaints(browser):
    """Return what went to the console, without the notes of the theme about itself."""
    return [text for text in browser.complaints if not text.startswith("[PST]")]


def pages_of(site):
    """Return the pages of the site, without the templates of the theme."""
    return sorted(page for page in site.rglob("*.html") if "_static" not in page.parts)


def links_of(page):
    """Return the addresses that a page of HTML refers to."""
    return [unescape(link) for link in re.findall(r'\s(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))]


def test_the_site_has_its_parts(site):
    for page in PAGES:
        assert (site / f"{page}.html").is_file()
    script = (site / "gallery/first_steps/first_table.html").read_text(encoding="utf-8")
    assert "sphx_glr_first_table_001" in script
    assert list((site / "_downloads").rglob("first_table.ipynb"))
    reference = (site / "api/flatmin.MatrixCompletion.html").read_text(encoding="utf-8")
    assert "sphx-glr-thumbcontainer" in reference
    assert re.search(r'Guide: <a [^>]*href="\.\./[a-z_]+\.html', reference)
    assert "gallery/tables/imputation.html" in (site / "completion.html").read_text(encoding="utf-8")


def test_every_internal_link_leads_somewhere(site):
    """All links between files of the site, and the places inside pages that they name."""
    places, dead = {}, []
    for page in pages_of(site):
        for link in links_of(page):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                dead.append((page.name, link))
            elif parts.fragment and target.suffix == ".html":
                if target not in places:
                    text = target.read_text(encoding="utf-8")
                    places[target] = set(map(unescape, re.findall(r'\s(?:id|name)="([^"]*)"', text)))
                if unquote(parts.fragment) not in places[target]:
                    dead.append((page.name, link))
    assert dead == []


def test_two_hundred_links_are_served(site, address):
    found = set()
    for page in pages_of(site):
        here = urljoin(address, page.relative_to(site).as_posix())
        found.update(urljoin(here, link).partition("#")[0] for link in links_of(page))
    inside = sorted(link for link in found if link.startswith(address))
    for link in random.Random(0).sample(inside, 200):
        with urllib.request.urlopen(link) as answer:  # noqa: S310
            assert answer.status == 200


def test_nothing_is_loaded_from_outside(site):
    for page in pages_of(site):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\ssrc="([^"]*)"', text)
        loaded += re.findall(r'<link\b[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="([^"]*)"', text)
        assert [link for link in loaded if urlsplit(link).netloc] == [], page


@needs_browser
@pytest.mark.parametrize("word", ["completion", "diffraction", "certificate"])
def test_the_search_finds_a_word_without_a_server(site, browser, word):
    browser.open((site / "index.html").as_uri())
    browser.run("[...document.querySelectorAll('.search-button__button')].find(e => e.checkVisibility()).click()")
    field = "[...document.querySelectorAll('input[name=q]')].find(e => e.checkVisibility())"
    wait_for(browser, f"{field} !== undefined")
    browser.run(f"(() => {{ const e = {field}; e.value = '{word}'; e.form.requestSubmit(); }})()")
    wait_for(browser, "document.querySelector('.search-summary')?.textContent.includes('finished')")
    assert browser.run("document.querySelectorAll('#search-results li a').length") >= 2
    browser.run("document.querySelector('#search-results li a').click()")
    wait_for(browser, "!location.pathname.endsWith('search.html') && document.readyState === 'complete'")
    assert word in browser.run("document.body.textContent").lower()
    assert complaints(browser) == []


@needs_browser
def test_a_page_of_the_reference_opens_and_its_example_is_copied(address, browser):
    browser.open(address + "reference.html")
    for name in ("flatmin", "flat_minimum"):
        link = f"[...document.querySelectorAll('article a')].find(e => e.textContent.trim() === '{name}')"
        browser.run(f"{link}.click()")
        wait_for(browser, f"document.querySelector('h1')?.textContent.startsWith('{name}')")
    wait_for(browser, "document.querySelector('button.copybtn') !== null")
    browser.run("""addEventListener("copy", () => { const e = document.activeElement;
      window.copied = e.value.slice(e.selectionStart, e.selectionEnd); }, true)""")
    browser.run("document.querySelector('button.copybtn').focus()")
    browser.press("Enter")
    copied = wait_for(browser, "window.copied")
    assert "fm.flat_minimum(" in copied or "flat_minimum(" in copied
    assert ">>>" not in copied
    assert complaints(browser) == []


@needs_browser
def test_the_theme_is_switched(address, browser):
    browser.open(address + "completion.html")
    colours = set()
    for mode in ("dark", "light"):
        browser.run("[...document.querySelectorAll('.theme-switch-button')].find(e => e.checkVisibility()).click()")
        chosen = f".theme-change-button[data-mode={mode}]"
        browser.run(f"[...document.querySelectorAll('{chosen}')].find(e => e.checkVisibility()).click()")
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        colours.add((browser.run("document.documentElement.dataset.theme"), paper))
    browser.run("localStorage.clear()")
    assert {theme for theme, _ in colours} == {"light", "dark"}
    assert len(colours) == 2


@needs_browser
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_and_says_nothing_to_the_console(address, browser, page):
    for width in (360, 768, 1440):
        browser.open(f"{address}{page}.html", width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width, width
        assert browser.run(OUT) == [], width
        loaded = browser.run("performance.getEntriesByType('resource').map(e => e.name)")
        assert [link for link in loaded if not link.startswith((address, "data:", "blob:"))] == []
        assert complaints(browser) == []


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("page", PAGES)
def test_text_has_contrast(address, browser, page, dark):
    browser.open(f"{address}{page}.html", dark=dark, still=True)
    assert browser.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    found = browser.run(CONTRASTS)
    assert len(found) > 20
    assert [(ratio, text) for ratio, text, _ in found if ratio < 4.5] == []


@needs_browser
def test_the_focus_is_seen(address, browser):
    browser.open(address + "index.html")
    seen = []
    for _ in range(15):
        browser.press("Tab")
        seen.append(browser.run(FOCUS))
    assert len({tag for tag, *_ in seen}) >= 2
    assert [found for found in seen if not found[1]] == []
