"""The site: its reference has every public name, and it builds without a warning."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pages():
    """Return the extension of the site that writes the reference."""
    pytest.importorskip("sphinx")
    path = ROOT / "docs" / "_extensions" / "api_pages.py"
    spec = importlib.util.spec_from_file_location("api_pages", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_pages"] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_name_of_every_public_package(pages):
    listed = {(name.package, name.name) for name in pages.public_names()}
    for package, module in pages.public_packages().items():
        for name in module.__all__:
            is_module = hasattr(getattr(module, name), "__path__") or hasattr(getattr(module, name), "__file__")
            assert is_module or name == "__version__" or (package, name) in listed
    homes = pages.homes(pages.public_names())
    assert {id(name.value) for name in pages.public_names()} == set(homes)
    assert homes[id(importlib.import_module("flatmin").Product)].package == "flatmin"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(pages, tmp_path):
    pytest.importorskip("pydata_sphinx_theme")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path / "html")]
    done = subprocess.run([*build, "-d", str(tmp_path / "doctrees")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "api" / "flatmin.flat_minimum.html").is_file()
