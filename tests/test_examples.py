"""Every example runs from anywhere as a plain script, draws its picture and says what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Those that take a second or two; the others run with ``-m slow``.
QUICK = {"matrix_completion"}
SCRIPTS = sorted(path for path in EXAMPLES.rglob("*.py") if path.parent.name != "data")
#: Runs a script, and keeps in place of each window a picture.
RUN = """
import runpy, sys
import matplotlib.pyplot as plt
plt.show = lambda: [plt.figure(n).savefig(f"picture-{n}.png", dpi=120) for n in plt.get_fignums()]
runpy.run_path(sys.argv.pop(), run_name="__main__")
"""


def runs(path):
    return path if path.stem in QUICK else pytest.param(path, marks=pytest.mark.slow)


@pytest.mark.parametrize("path", [runs(path) for path in SCRIPTS], ids=lambda path: path.stem)
def test_the_example_draws_its_picture(path, tmp_path):
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", RUN, path],
        cwd=tmp_path,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2
    assert "nan" not in done.stdout.lower().split()
    assert [path.name for path in tmp_path.iterdir()] == ["picture-1.png"]
    with Image.open(tmp_path / "picture-1.png") as image:
        assert image.width >= 600
        assert image.height >= 300
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_example_is_a_page_of_the_gallery(path):
    text = path.read_text(encoding="utf-8")
    assert re.match(r'"""\n(.+)\n(=+)\n\n', text), "the docstring begins with a title"
    title, line = text.splitlines()[1:3]
    assert len(title) == len(line) <= 60
    assert text.count("\n# %%\n# ") >= 2, "cells begin with prose"
    assert text.endswith("plt.show()\n")
    assert (path.parent / "GALLERY_HEADER.rst").is_file()
