"""The site: its reference has every public name, and it builds without a warning."""

import importlib.util
import inspect
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


#: Public names whose docstrings need no example.
WITHOUT_EXAMPLE = {
    "base classes, of which CONTRIBUTING.md has a complete subclass": (
        *("flatmin.cones.Cone", "flatmin.estimators.FlatEstimator", "flatmin.estimators.MatrixRegressor"),
        *("flatmin.formats.Document", "flatmin.losses.Loss", "flatmin.nn.Seeker"),
        *("flatmin.parametrizations.Parametrization", "flatmin.solvers.Solver"),
    ),
    "errors, whose message says all": ("flatmin.InputError", "flatmin.RecoveryError"),
    "reports, which commands make from what they compute": (
        *("flatmin.report.FilledTable", "flatmin.report.HeldOutValues", "flatmin.report.RatedTable"),
        *("flatmin.report.SeparatedData", "flatmin.report.SolvedProblem", "flatmin.report.write_report"),
        *("flatmin.report.write_imputation_report", "flatmin.report.write_rating_report"),
        "flatmin.report.write_separation_report",
    ),
}


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


def test_every_public_name_has_an_example(pages):
    exempt = {name for names in WITHOUT_EXAMPLE.values() for name in names}
    found = pages.homes(pages.public_names()).values()
    lacking = {name.path for name in found if callable(name.value) and ">>> " not in (inspect.getdoc(name.value) or "")}
    assert lacking == exempt


def test_references_of_docstrings_are_in_the_bibliography(pages):
    citations = extension("citations")
    references = {path: citations.section(text) for path, text in documented(pages)}
    found = {path: list(citations.cited(text)) for path, text in references.items() if text}
    assert len(found) > 30
    assert [path for path, keys in found.items() if not keys and "docs/" not in references[path]] == []
    assert list(citations.cited('Hutchinson, "A title that nobody used", 1990. arXiv 2203.03756.')) == ["ding2024flat"]


def test_the_course_lists_every_script_of_the_gallery():
    course = extension("course").COURSE
    for folder in (ROOT / "examples").iterdir():
        if (folder / "GALLERY_HEADER.rst").is_file():
            assert folder.name in course
            assert {path.stem for path in folder.glob("*.py")} == set(course[folder.name])


def test_every_package_has_a_page_of_the_guide(pages):
    assert set(pages.GUIDES) == set(pages.public_packages())
    assert [page for page in pages.GUIDES.values() if not (ROOT / "docs" / f"{page}.md").is_file()] == []


def test_names_are_found_in_code_and_nowhere_else(pages, monkeypatch):
    monkeypatch.setitem(sys.modules, "api_pages", pages)
    links = extension("guide_links")
    text = (
        "# Page\nflat_minimum\n## Part of `it`\n`fm.nn.SAM` and `register`\n```python\nRobustPCA().fit(X)  # prove\n```"
    )
    counts = {section.link: dict(names) for section, names in links.mentions("page", text).items()}
    assert counts == {"[Part of it](../page.md#part-of-it)": {"flatmin.nn.SAM": 1, "flatmin.RobustPCA": 1}}
    assert {"completion", "networks", "tutorial"} <= set(links.guide_pages(ROOT / "docs"))
    assert links.sections(ROOT / "docs", "flatmin.PanelEffect")[0].page == "panels"


def test_inventories_are_fetched_once_and_are_not_needed(tmp_path):
    found = extension("inventories")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n")
    sites = {"here": (tmp_path / "site").as_uri() + "/", "absent": (tmp_path / "no").as_uri() + "/"}
    fetched = {"here": (sites["here"], str(tmp_path / "kept" / "here.inv"))}
    assert found.available(tmp_path / "kept", sites) == fetched
    (tmp_path / "site" / "objects.inv").write_bytes(b"<html>")
    assert found.available(tmp_path / "kept", sites) == fetched
    assert found.available(tmp_path / "other", sites) == {}
