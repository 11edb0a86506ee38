"""Compilation of loops: caches that cannot be written, and the notice on terminals."""

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flatmin.linalg.kernels import compilation

LOOP = """
import flatmin.linalg.kernels.compilation as compilation

@compilation.compiled
def twice(x):
    return 2 * x
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_place_to_keep_them_loops_are_compiled_all_the_same(monkeypatch):
    def nowhere(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'sampled': no locator available for file 'loops.py'")
        return lambda function: function

    monkeypatch.setattr(compilation, "njit", nowhere)
    assert compilation.compiled(len) is len


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_compilation_is_announced_on_terminals_only(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    triple = _loop("triple", "flatmin.linalg.kernels.tests")
    assert triple(2) == 6
    text = sys.stderr.getvalue()
    assert ("compiling loops, once" in text) == (stream is Terminal)
    assert triple(3) == 9
    assert sys.stderr.getvalue() == text
    assert _loop("triple", "somebody.elses")(2) == 6
    assert _loop("triple", None)(2) == 6
    assert sys.stderr.getvalue() == text


def _loop(name, module):
    """Return a compiled function that pretends to be of a module."""

    def loop(x):
        return 3 * x

    loop.__name__, loop.__module__ = name, module
    return compilation.njit(loop)


def _run(folder, code, **places):
    """Run a program that can import the loop, where no folder of the user can be written."""
    (folder / "loop.py").write_text(LOOP)
    file = folder / "__pycache__"
    if not file.exists():
        file.write_text("no folder can be made here, and no file below")
    environment = {
        **os.environ,
        **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TMPDIR"), str(file)),
        "PYTHONPATH": f"{folder}{os.pathsep}{Path(compilation.__file__).parents[3]}",
        **places,
    }
    command = [sys.executable, "-B", "-c", f"import loop; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


STATE = "print(loop.twice(21), loop.twice.stats.cache_path, sum(loop.twice.stats.cache_hits.values()))"


def test_with_a_read_only_home_loops_are_kept_in_a_private_folder(tmp_path):
    place = tmp_path / "temporary"
    place.mkdir()
    for hits in ("0", "1"):
        answer, path, found = _run(tmp_path, STATE, TMPDIR=str(place))
        assert (answer, found) == ("42", hits)
    (folder,) = place.glob("flatmin-*")
    assert Path(path).is_relative_to(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)  # so that others could have put code there
    _, path, found = _run(tmp_path, STATE, TMPDIR=str(place))
    assert found == "0"
    assert not Path(path).is_relative_to(place)


def test_without_any_place_to_write_loops_are_compiled(tmp_path):
    code = f"import tempfile; tempfile.tempdir = loop.__file__; import importlib; importlib.reload(loop); {STATE}"
    assert _run(tmp_path, code) == ["42", "None", "0"]


def test_a_cache_that_breaks_after_all_does_not_matter(tmp_path):
    code = f"import shutil; p = loop.twice.stats.cache_path; shutil.rmtree(p); open(p, 'w').close(); {STATE}"
    place = tmp_path / "temporary"
    place.mkdir()
    assert _run(tmp_path, code, TMPDIR=str(place))[::2] == ["42", "0"]
