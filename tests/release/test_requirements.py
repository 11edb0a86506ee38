"""What pyproject.toml asks for: a lowest version of everything, and everything that is imported."""

import ast
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release.lowest import constraints
from release.requirements import ROOT, lowest, project, stated

from tests.imports import statements, tree


def test_every_dependency_has_a_lowest_version():
    lines = constraints(project()["optional-dependencies"])
    assert len({line.partition("==")[0] for line in lines}) == len(lines)
    assert "numpy==1.26" in lines
    assert {r.name.lower() for r in stated()} <= {line.partition("==")[0] for line in lines}


def test_the_largest_of_several_lowest_versions_counts():
    assert "pyarrow==16" in constraints(["parquet"])
    assert "pyarrow==18" in constraints(["parquet", "spark"])
    assert "pyarrow==18" in constraints(["test"])


def test_a_requirement_without_a_lowest_version_is_refused():
    with pytest.raises(ValueError, match="states no lowest version"):
        lowest(Requirement("numpy<3"))


#: A file next to a test, and a package whose tests are skipped without it.
SELDOM = {"conftest", "benchopt"}


def imported(folder):
    """Return the packages that files of a folder import, without those of Python and of this repository."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        if "stranger" not in path.parts:
            for node in statements(tree(path)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                found |= {name.partition(".")[0] for name in names}
    return found - {*sys.stdlib_module_names, "flatmin", "tests", "benchmarks", "release", "stranger"} - SELDOM


#: Imports that come with another package that is asked for.
COMES_WITH = {
    "click": "typer",
    "cycler": "matplotlib",
    "markupsafe": "jinja2",
    "packaging": "matplotlib",
    "py4j": "pyspark",
    "_pytest": "pytest",
}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("src", ["torch", "array-api", "dask", "parquet", "excel", "video", "spark", "test"]), ("tests", ["test"])],
)
@pytest.mark.slow
def test_what_is_imported_is_asked_for(folder, extras):
    homes = packages_distributions()
    asked = {canonicalize_name(r.name) for r in stated(extras)}
    for name in imported(folder):
        packages = {canonicalize_name(home) for home in homes.get(COMES_WITH.get(name, name), [name])}
        assert packages & asked, f"{folder} imports {name}, which pyproject.toml does not ask for"
