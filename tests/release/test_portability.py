"""Other systems, as far as this one shows them: names of files, no fork, no modules of POSIX, and encodings."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import flatmin as fm
from flatmin.cli import main
from tests.release.test_offline import RECIPE, SLOW, TABLE

#: Names of folders: blanks and letters of several scripts, and a path of more than 260 characters.
PLACES = {"unicode": ("Übersicht über alles", "данные 数据", "🙂"), "long": ("a" * 100, "b" * 100, "c" * 100)}


@pytest.mark.parametrize("names", PLACES.values(), ids=PLACES)
def test_names_of_any_letters_and_length(names, tmp_path, monkeypatch, capsys):
    place = tmp_path.joinpath(*names)
    place.mkdir(parents=True)
    rows, cols = np.divmod(np.arange(28), 4)
    lines = [",".join("" if (i + j) % 5 == 4 else str((i + 1) * (j + 2)) for j in range(4)) for i in range(7)]
    (place / "my table – 1.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(place)
    assert main(["recover", "matrix-completion", "my table – 1.csv", "--output", "the answer"]) in (0, 1)
    assert {"completed.csv", "report.html", "solution.npz"} <= {file.name for file in (place / "the answer").iterdir()}
    problem = fm.Problem(fm.measurements.Entries(rows, cols, (7, 4)), (rows + 1.0) * (cols + 2.0))
    fm.flat_minimum(problem).save(place / "solution – 1.npz")
    assert fm.Solution.load(place / "solution – 1.npz", problem).status.certified
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("names", PLACES.values(), ids=PLACES)
def test_stores_and_pages_of_any_letters_and_length(names, tmp_path, monkeypatch, capsys):
    place = tmp_path.joinpath(*names)
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    (place / "recipe ü.toml").write_text(RECIPE, encoding="utf-8")
    assert main(["sweep", "recipe ü.toml", "--store", "trials ü.db", "--quiet"]) == 0
    assert main(["report", "trials ü.db", "--output", "page ü.html"]) == 0
    assert (place / "page ü.html").stat().st_size > 1000
    capsys.readouterr()


def test_a_process_that_is_started_afresh_gives_the_same_bits():
    """Windows and macOS start processes by importing everything again, and send problems and solutions to them."""
    problem = fm.families.matrix_completion.sample((6, 5), 1, 24).problem
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(fm.flat_minimum, problem).result()
    np.testing.assert_array_equal(found.matrix, fm.flat_minimum(problem).matrix)
    assert found.status is fm.Status.unique_flat_minimum


#: A program that runs commands without fork and without the modules that Windows lacks. It fails if flatmin reads or
#: writes a text in the encoding of the system, which differs between systems.
ELSEWHERE = """
import os, sys, warnings

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in {"fork", "forkpty", "getuid", "sched_getaffinity"} & {*dir(os)}:
    delattr(os, name)
warnings.simplefilter("ignore")
warnings.filterwarnings("error", category=EncodingWarning, module="flatmin")
from flatmin.cli import main

for line in sys.stdin.read().splitlines():
    assert main(line.split()) in (0, 1), line
"""


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["recover matrix-completion table.csv --output recovered"], id="quick"),
        pytest.param([line for line in SLOW if not line.startswith("sweep")][:3], id="slow", marks=pytest.mark.slow),
    ],
)
def test_without_fork_and_the_modules_of_posix(lines, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE.partition("\n")[2], encoding="utf-8")
    (tmp_path / "pairs.csv").write_text("a,b,1\na,c,2\nd,b,3\nd,c,4\ne,b,2\ne,c,1\nf,c,2\nf,b,2\n", encoding="utf-8")
    command = [sys.executable, "-X", "warn_default_encoding", "-c", ELSEWHERE]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
