"""Writing the page of experiments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flatmin.errors import InputError
from flatmin.lab import Evidence, Result, write_report
from flatmin.lab.claims import Claim
from tests.lab.experiments import recipe_of
from tests.lab.findings import check, of_curves, of_nothing


def test_bad_evidence_and_bad_places_are_one_sentence(tmp_path):
    good = of_curves()
    (tmp_path / "mine.html").write_text("my own page")
    for file, evidence, message in (
        ("a.html", [], "there is no evidence to report, expected that of one recipe at least"),
        ("a.html", [good, good], "there is evidence of curves more than once, expected each recipe once"),
        (".", [good], "is a directory, expected a file"),
        ("none/a.html", [good], "which is no directory; make it first"),
        ("mine.html", [good], "exists and is no former report of flatmin; choose another name"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            write_report(tmp_path / file, evidence)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]
    assert (tmp_path / "mine.html").read_text() == "my own page"


def test_a_page_is_replaced_whole_through_a_link_or_not_at_all(tmp_path, monkeypatch):
    write_report(tmp_path / "a.html", [of_nothing()])
    (tmp_path / "link.html").symlink_to("a.html")
    before = (tmp_path / "a.html").read_text()
    write_report(tmp_path / "link.html", [of_nothing()], title="Another")
    assert (tmp_path / "link.html").is_symlink()
    after = (tmp_path / "a.html").read_text()
    assert before.replace("Experiments", "Another") != before
    assert "<h1>Another</h1>" in after

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "a.html", [of_nothing()])
    assert (tmp_path / "a.html").read_text() == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "link.html"]


def test_a_recipe_of_ones_own_in_any_module(tmp_path):
    recipe = recipe_of(judge=lambda evidence: [Claim.from_mean("the mean", evidence.values("ratio"), below=1)])
    results = [Result(trial, recipe.cell(trial.parameters, trial.seed)) for trial in recipe.trials()]
    (finding,) = write_report(str(tmp_path / "own.html"), [Evidence(recipe, results)])
    assert [claim.verdict for claim in finding.claims] == ["holds"]
    assert "1 claim holds, over 20 trials of 1 experiment." in check((tmp_path / "own.html").read_text())
