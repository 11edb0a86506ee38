"""Additions from outside: one package with entry points, or one call, and no edit of flatmin or of its tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flatmin import InputError, families, formats, measurements
from flatmin.report import views
from flatmin.solvers import choose

ROOT = Path(__file__).parents[1]
STRANGER = Path(__file__).parent / "stranger"


def copy_to(folder):
    """Copy the package into a folder outside flatmin."""
    shutil.copytree(STRANGER, folder / "stranger", ignore=shutil.ignore_patterns("__pycache__", "*.txt"))


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Return a folder with a package outside flatmin and its distribution, as an installation leaves them."""
    folder = tmp_path_factory.mktemp("outside")
    copy_to(folder)
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    shutil.copy(STRANGER / "entry_points.txt", info)
    return folder


@pytest.fixture(scope="module")
def python(outside):
    """Return a function that runs Python with that package installed and returns what it printed."""

    def run(*arguments, cwd=outside):
        path = os.pathsep.join([str(outside), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": path})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_a_family_its_measurement_and_its_view_are_on_the_command_line(python, outside):
    python("-m", "flatmin", "generate", "signed-sums", "p.npz", "--shape", "6,5", "--rank", 1)
    printed = python("-m", "flatmin", "recover", "signed-sums", "p.npz")
    assert "unique_flat_minimum" in printed
    report = (outside / "p-flat" / "report.html").read_text()
    assert "Signed sums" in report
    assert "30 signed sums" in report
    assert "signed-sums" in python("-m", "flatmin", "recover", "--help")
    assert "Certified" in python("-m", "flatmin", "certify", "signed-sums", "p.npz", "p-flat/solution.npz")


def test_a_file_format_is_read_and_written(python, outside):
    (outside / "t.pipes").write_text("1|2|3\n2|4|\n3|6|9\n")
    python("-m", "flatmin", "recover", "matrix-completion", "t.pipes", "--quiet")
    assert float((outside / "t-flat" / "completed.pipes").read_text().splitlines()[1].split("|")[2]) == pytest.approx(6)


def test_a_measurement_is_a_name_of_the_package(python):
    code = "import flatmin as fm; print(fm.measurements.SignedSums.__module__, fm.measurements.names())"
    assert python("-c", code).startswith("stranger.measurement ['CodedDiffraction', 'Dense'")


@pytest.mark.slow
def test_the_tests_of_all_families_measurements_and_views_run_on_them(python):
    names = ["families/test_every_family", "measurements/test_every_measurement", "report/views/test_every_view"]
    names += ["cli/commands/test_generate", "cli/commands/test_recover"]
    chosen = ["-k", "signed-sums or SignedSums", "-p", "no:cacheprovider", "-v", "-o", "addopts="]
    printed = python("-m", "pytest", *(f"tests/{name}.py" for name in names), *chosen, cwd=ROOT)
    for name in names:
        assert f"{name}.py" in printed
    assert "failed" not in printed


def test_a_solver_is_used_by_its_name(python, outside):
    python("-m", "flatmin", "generate", "matrix-sensing", "s.npz", "--shape", "6,5", "--rank", 1)
    assert "unique_flat_minimum" in python("-m", "flatmin", "recover", "matrix-sensing", "s.npz", "--solver", "tight")
    code = "import flatmin as fm; from flatmin.solvers.choose import names; print(names())"
    assert "'tight'" in python("-c", code)


@pytest.mark.slow
def test_a_competitor_is_listed_and_races(python, outside):
    pytest.importorskip("torch")
    assert "short-steps" in python("-m", "flatmin", "race", "--list")
    python("-m", "flatmin", "generate", "signed-sums", "r.npz", "--shape", "5,4", "--rank", 1)
    options = ["--competitors", "short-steps", "--budget", 20, "--seeds", 1, "--trials", 1, "--jobs", 1, "--quiet"]
    python("-m", "flatmin", "race", "signed-sums", "r.npz", *options)
    assert "short-steps" in (outside / "r-race" / "race.csv").read_text()
    assert "Short steps" in (outside / "r-race" / "report.html").read_text()


@pytest.mark.slow
def test_a_recipe_is_listed_swept_and_reported(python, outside):
    pytest.importorskip("torch")
    assert "signed-sums" in python("-m", "flatmin", "sweep", "--list")
    assert "in more than half of" in python("-m", "flatmin", "sweep", "signed-sums", "--list")
    python("-m", "flatmin", "sweep", "signed-sums", "--store", "trials.db", "--quick", "--jobs", 1, "--quiet")
    python("-m", "flatmin", "report", "trials.db", "--output", "claims.html", "--quiet")
    assert "The share of draws recovered" in (outside / "claims.html").read_text()


@pytest.mark.slow
def test_the_tests_of_all_recipes_and_competitors_run_on_them(python):
    pytest.importorskip("torch")
    names = ["lab/recipes/test_every_recipe", "lab/race/test_referee"]
    chosen = ["-k", "signed-sums or short-steps", "-p", "no:cacheprovider", "-v", "-o", "addopts="]
    printed = python("-m", "pytest", *(f"tests/{name}.py" for name in names), *chosen, cwd=ROOT)
    assert "[signed-sums]" in printed
    assert "[short-steps]" in printed


def test_one_call_adds_each_kind(tmp_path, monkeypatch):
    copy_to(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    from stranger.family import FAMILY
    from stranger.file_format import Pipes
    from stranger.measurement import SignedSums
    from stranger.recipe import RECIPE
    from stranger.solver import TIGHT
    from stranger.view import VIEW

    monkeypatch.delitem(sys.modules, "stranger")
    recipes = pytest.importorskip("flatmin.lab.recipes")
    registries = {
        families: (FAMILY, "signed-sums"),
        formats: (Pipes, "Pipes"),
        measurements: (SignedSums, "SignedSums"),
        views: (VIEW, "signed-sums"),
        recipes: (RECIPE, "signed-sums"),
        choose: (TIGHT, "tight"),
    }
    for registry, (entry, name) in registries.items():
        registry.register(entry, name=name)
    try:
        assert families.find("signed-sums") is FAMILY
        assert formats.find(Path("x.pipes")) is Pipes
        assert measurements.SignedSums is SignedSums
        assert views.view_of("signed-sums") is VIEW
        assert recipes.find("signed-sums") is RECIPE
        assert choose.find("tight") is TIGHT
        with pytest.raises(InputError, match="there already is a family 'signed-sums', expected another name"):
            families.register(FAMILY)
    finally:
        for registry, (_, name) in registries.items():
            registry.unregister(name)
