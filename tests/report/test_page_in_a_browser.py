"""The page in a real browser: no overflow, no complaints, light and dark."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from flatmin.report import write_report
from tests.report.chromium import BROWSER

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome to open the page"
)

NAMES = ("above", "below", "table", "photo", "network", "phases", "split")
WIDTHS = (360, 390, 1280)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr"),
]

#: Appended to a copy of the page: reports what sticks out, to the frame's parent.
PROBE = """<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const all = [...document.querySelectorAll("main, main *")].filter(e => !e.closest(".wide *, defs"));
parent.postMessage({
  name: location.pathname.split("/").pop(), width: innerWidth, scroll: document.documentElement.scrollWidth,
  out: all.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80)),
  flat: [...document.querySelectorAll("figure")].filter(f => f.getBoundingClientRect().height < 60).length,
  dark: matchMedia("(prefers-color-scheme: dark)").matches, colour: getComputedStyle(document.body).backgroundColor,
}, "*");
</script>"""

#: Frames are as narrow as asked for; a browser's own window is not.
FRAMES = """<!doctype html><html lang="en"><meta name="color-scheme" content="light dark"><title>Frames</title>
<script>const found = []; addEventListener("message", m => {
  found.push(m.data); document.documentElement.dataset.found = JSON.stringify(found); });</script>"""


def browse(profile: Path, address: str, dark: bool, *more: str) -> str:
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={int(not dark)}"]
    done = subprocess.run([*command, *more, address], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_complaints_of_a_page_are_heard(tmp_path) -> None:
    path = tmp_path / "planted.html"
    for planted, heard in (
        ("", False),
        ("<script>absent();</script>", True),
        ("<script>console.log(1)</script>", True),
    ):
        path.write_text(f"<!doctype html><title>Planted</title><p>Text</p>{planted}", encoding="utf-8")
        with pytest.raises(AssertionError) if heard else nullcontext():
            browse(tmp_path / "profile", path.as_uri(), False, "--dump-dom")


def demanding(context):
    """Return the context with a file name and a command that have nowhere to break."""
    long = "measured-without-any-space-" * 5 + ".csv"
    return replace(context, command=f"flatmin recover matrix-completion {long} --tol 1e-9", input_name=long)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_every_width_and_follow_the_colour_scheme(dark, tmp_path, request) -> None:
    frames = FRAMES
    for name in NAMES:
        path = tmp_path / f"{name}.html"
        write_report(path, demanding(request.getfixturevalue(name)))
        path.write_text(path.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
        frames += "".join(
            f'<iframe src="{path.name}" width="{w}" height="800" style="border:0"></iframe>' for w in WIDTHS
        )
    (tmp_path / "frames.html").write_text(frames, encoding="utf-8")
    address = (tmp_path / "frames.html").as_uri()
    dom = browse(tmp_path / "profile", address, dark, "--dump-dom", "--virtual-time-budget=8000")
    found = json.loads(unescape(re.search(r'data-found="([^"]*)"', dom)[1]))
    assert {(f["name"], f["width"]) for f in found} == {(f"{name}.html", width) for name in NAMES for width in WIDTHS}
    for frame in found:
        assert frame["out"] == []
        assert frame["scroll"] <= frame["width"]
        assert frame["flat"] == 0
        assert frame["dark"] is dark
        assert frame["colour"] == ("rgb(17, 21, 26)" if dark else "rgb(247, 247, 245)")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(390, 844), (1280, 900)], ids=["telephone", "desktop"])
def test_page_is_drawn(size, dark, tmp_path, above) -> None:
    """Set FLATMIN_SCREENSHOTS to a folder to keep the pictures."""
    path = tmp_path / "report.html"
    write_report(path, above)
    picture = tmp_path / f"report-{size[0]}-{'dark' if dark else 'light'}.png"
    browse(tmp_path / "profile", path.as_uri(), dark, f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}")
    with Image.open(picture) as drawn:
        assert drawn.size == size
        corner, colours = drawn.convert("RGB").getpixel((2, 2)), drawn.convert("RGB").getcolors(1 << 20)
    assert corner == ((17, 21, 26) if dark else (247, 247, 245))
    assert len(colours) > 100
    if "FLATMIN_SCREENSHOTS" in os.environ:
        shutil.copy(picture, os.environ["FLATMIN_SCREENSHOTS"])
