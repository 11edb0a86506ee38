"""Documents that other programs read: the citation, the recipe for conda, workflows, templates and the changelog."""

import re
from datetime import date

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release.dependencies import bill_of_materials, installed, table
from release.requirements import ROOT, project, stated

import flatmin
from flatmin.cli import main

yaml = pytest.importorskip("yaml")


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


#: Keys of the Citation File Format 1.2.0 that are used, with the types that its schema asks for.
CITATION = {
    "cff-version": str,
    "message": str,
    "title": str,
    "type": str,
    "authors": list,
    "version": str,
    "date-released": date,
    "license": str,
    "abstract": str,
    "keywords": list,
    "references": list,
}
REFERENCE = {
    "type": str,
    "title": str,
    "authors": list,
    "journal": str,
    "volume": int,
    "issue": int,
    "year": int,
    "identifiers": list,
    "url": str,
}


def check_types(found, schema, needed):
    assert not found.keys() - schema.keys()
    assert needed <= found.keys()
    for key, value in found.items():
        assert isinstance(value, schema[key]), key
        assert value


def check_authors(authors):
    for author in authors:
        assert author.keys() in ({"name"}, {"family-names", "given-names"})
        assert all(isinstance(text, str) for text in author.values())


def test_the_citation_follows_its_format():
    found = read("CITATION.cff")
    check_types(found, CITATION, {"cff-version", "message", "title", "authors"})
    assert found["cff-version"] == "1.2.0"
    assert found["type"] in ("software", "dataset")
    assert found["version"] == flatmin.__version__
    assert found["license"] == "MIT"
    assert len({*found["keywords"]}) == len(found["keywords"])
    check_authors(found["authors"])
    for reference in found["references"]:
        check_types(reference, REFERENCE, {"type", "title", "authors"})
        check_authors(reference["authors"])
        for identifier in reference["identifiers"]:
            assert identifier["type"] in ("doi", "url", "swh", "other")
            assert isinstance(identifier["value"], str)


#: Packages that conda names differently.
CONDA = {"matplotlib": "matplotlib-base"}


def test_the_recipe_for_conda_asks_for_what_the_package_needs():
    recipe = read("conda/recipe.yaml")
    assert recipe["schema_version"] == 1
    assert recipe.keys() == {
        "schema_version",
        "context",
        "package",
        "source",
        "build",
        "requirements",
        "tests",
        "about",
    }
    assert recipe["context"]["version"] == flatmin.__version__
    assert recipe["package"] == {"name": "flatmin", "version": "${{ version }}"}
    assert recipe["build"]["noarch"] == "python"
    (script,) = project()["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [f"{script[0]} = {script[1]}"]
    needed = {f"{CONDA.get(r.name, canonicalize_name(r.name))} {r.specifier}" for r in stated()}
    assert {*recipe["requirements"]["run"]} == needed | {f"python {project()['requires-python']}"}
    assert (ROOT / recipe["about"]["license_file"]).exists()
    assert recipe["about"]["summary"] == project()["description"]


def test_the_commands_of_the_conda_recipe_end_well(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line for part in read("conda/recipe.yaml")["tests"] for line in part.get("script", [])]
    assert len(commands) >= 3
    for line in commands:
        program, *words = line.split()
        assert program == "flatmin"
        assert main(words) == 0, line
    capsys.readouterr()


def test_every_name_that_flatmin_exports_has_a_stability():
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    table = page[page.index("## Names") : page.index("## File formats")]
    named = {*re.findall(r"`(?:flatmin\.)?(\w+)`", table)}
    assert {*flatmin.__all__} - {*flatmin.estimators.__all__} - {"__version__"} <= named


def test_workflows_and_templates_can_be_read():
    folder = ROOT / ".github"
    for file in folder.rglob("*.yml"):
        found = read(file.relative_to(ROOT))
        assert isinstance(found, dict), file
        if file.parent.name == "workflows":
            assert found["permissions"] == {"contents": "read"}, f"{file.name}: a job asks for more by itself"
            for job in found["jobs"].values():
                assert job["steps"]
    for template in ("bug", "feature"):
        form = read(f".github/ISSUE_TEMPLATE/{template}.yml")
        assert {"name", "description", "body"} <= form.keys()
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields)
        assert all(field["attributes"]["label"] for field in fields)


def test_releases_are_published_without_a_password():
    jobs = read(".github/workflows/publish.yml")["jobs"]
    assert jobs["publish"]["permissions"]["id-token"] == "write"
    assert "password" not in (ROOT / ".github/workflows/publish.yml").read_text().replace("stored password", "")
    used = [step.get("uses", "").partition("@")[0] for step in jobs["publish"]["steps"]]
    assert {"pypa/gh-action-pypi-publish", "actions/attest-build-provenance"} <= {*used}


def test_the_changelog_has_this_version_in_the_usual_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", text, re.MULTILINE)
    assert flatmin.__version__ in dict(versions) or "Unreleased" in dict(versions)
    for name, day in versions:
        assert (name == "Unreleased" and not day) or re.fullmatch(r"\d+\.\d+\.\d+ \d{4}-\d{2}-\d{2}", f"{name} {day}")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {*re.findall(r"^### (.+)$", text, re.MULTILINE)} <= kinds


def test_the_changelog_states_the_last_attack_on_certificates():
    """The row of all attacks is that of the document, and no claim was false."""
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "docs/attacks.md")]
    stated, found = (re.search(r"\| \*\*all\*\* \|( [\d ]+\|){3} 0 \| 0 \| .* s \|", page)[0] for page in pages)
    assert stated == found


def test_the_table_of_licences_has_every_package_that_is_needed():
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\S+) \| ", page, re.MULTILINE)
    assert {canonicalize_name(r.name) for r in stated()} <= {canonicalize_name(name) for name in listed}


def test_the_bill_of_materials_names_every_package_once():
    packages = installed("flatmin")
    bill = bill_of_materials(packages)
    references = [part["bom-ref"] for part in bill["components"]] + [bill["metadata"]["component"]["bom-ref"]]
    assert len({*references}) == len(packages) == len(references)
    assert {edge["ref"] for edge in bill["dependencies"]} == {*references}
    assert all({*edge["dependsOn"]} <= {*references} for edge in bill["dependencies"])
    assert {Requirement(str(r)).name for r in stated()} <= {part["name"].lower() for part in bill["components"]}
    assert "not stated" not in table(packages)
