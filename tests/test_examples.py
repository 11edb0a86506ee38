"""Every example runs on its own, writes its picture, and does nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Those that take a second or two; the others run with ``-m slow``.
QUICK = {"matrix_completion"}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_the_example_writes_its_picture(name, tmp_path):
    picture = tmp_path / "picture.png"
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", EXAMPLES / f"{name}.py", picture],
        cwd=tmp_path,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 3
    assert "nan" not in done.stdout.lower().split()
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width >= 800
        assert image.height >= 300
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.parametrize("name", NAMES)
def test_the_example_says_what_it_shows_and_is_listed(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert f"python examples/{name}.py [PICTURE]" in text
    assert f"]({name}.py)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
