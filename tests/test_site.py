"""The site: its reference has every public name, and it builds without a warning."""

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def extension(name):
    """Return a module of the folder of the site's extensions."""
    pytest.importorskip("sphinxcontrib.bibtex")
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_extensions" / f"{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    """Return the extension that writes the reference."""
    return extension("api_pages")


def documented(pages):
    """Yield the paths and docstrings of public names and of the members of public classes."""
    for name in pages.homes(pages.public_names()).values():
        yield name.path, inspect.getdoc(name.value) or ""
        for key, member in vars(name.value).items() if inspect.isclass(name.value) else ():
            if (getattr(member, "__module__", None) or "").startswith("flatmin"):
                yield f"{name.path}.{key}", inspect.getdoc(member) or ""


def test_the_reference_has_every_name_of_every_public_package(pages):
    listed = {(name.package, name.name) for name in pages.public_names()}
    for package, module in pages.public_packages().items():
        for name in module.__all__:
            is_module = hasattr(getattr(module, name), "__path__") or hasattr(getattr(module, name), "__file__")
            assert is_module or name == "__version__" or (package, name) in listed
    homes = pages.homes(pages.public_names())
    assert {id(name.value) for name in pages.public_names()} == set(homes)
    assert homes[id(importlib.import_module("flatmin").Product)].package == "flatmin"


def test_references_of_docstrings_are_in_the_bibliography(pages):
    citations = extension("citations")
    references = {path: citations.section(text) for path, text in documented(pages)}
    found = {path: list(citations.cited(text)) for path, text in references.items() if text}
    assert len(found) > 30
    assert [path for path, keys in found.items() if not keys and "docs/" not in references[path]] == []
    assert list(citations.cited('Hutchinson, "A title that nobody used", 1990. arXiv 2203.03756.')) == ["ding2024flat"]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(pages, tmp_path):
    pytest.importorskip("pydata_sphinx_theme")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path / "html")]
    done = subprocess.run([*build, "-d", str(tmp_path / "doctrees")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "api" / "flatmin.flat_minimum.html").is_file()
