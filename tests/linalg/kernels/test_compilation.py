"""Compilation of loops: caches that cannot be written, and the notice on terminals."""

import io
import os
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


def test_a_read_only_cache_works(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    file = tmp_path / "__pycache__"
    file.write_text("no folder can be made here, and no file below")
    environment = {
        **os.environ,
        **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), str(file)),
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(compilation.__file__).parents[3]}",
    }
    command = [sys.executable, "-B", "-c", "import loop; print(loop.twice(21), loop.twice.stats.cache_path)"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["42", "None"], "")
