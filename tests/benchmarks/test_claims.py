"""The page of claims: what its generator writes, and that the page has a part and an answer for each recipe."""

import re

from benchmarks import claims

from flatmin.lab import Result, recipes
from flatmin.lab.evidence import Evidence
from flatmin.lab.pages.findings import Finding


def finding():
    recipe = recipes.find("figure-3").quickly()
    results = [Result(trial, {"success": True, "error": 0.0}) for trial in recipe.trials()]
    return Finding.from_evidence(Evidence(recipe, results))


def test_verdicts_come_first_and_numbers_are_folded_away():
    given = finding()
    text = "\n".join(claims.lines(given))
    before, folded, after = text.partition("<details>")
    assert before.startswith("**Verdict** (`figure-3`, ")
    assert "trials" in before
    assert "| claim |" not in before
    assert len(re.findall(r"^\| ", after, re.MULTILINE)) == 1 + len(given.claims)
    assert folded
    assert text.endswith("</details>")


def test_failing_claims_are_named_with_their_numbers():
    given = finding()
    failing = [claim for claim in given.claims if claim.verdict == "fails"]
    before = "\n".join(claims.lines(given)).partition("<details>")[0]
    assert before.count("- *Fails*: ") == len(failing) > 0
    assert all(claims.found(claim) in before for claim in failing)


def test_the_page_is_written_between_markers(tmp_path, monkeypatch, capsys):
    page = tmp_path / "claims.md"
    page.write_text("Question and answer.\n\n<!-- claims figure-3 -->\nformer\n<!-- /claims figure-3 -->\nend\n")
    monkeypatch.setattr(claims, "PAGE", page)
    monkeypatch.setattr(claims, "read_stores", lambda place: type("Reading", (), {"evidence": [finding().evidence]}))
    monkeypatch.setattr("sys.argv", ["claims", "anywhere", "--write"])
    assert claims.main() == 0
    text = page.read_text()
    assert text.startswith("Question and answer.")
    assert text.endswith("end\n")
    assert "**Verdict**" in text
    assert "former" not in text
    page.write_text("nothing\n")
    assert claims.main() == 1
    assert "has no part for figure-3" in capsys.readouterr().err


def test_every_part_of_the_page_follows_a_question_and_an_answer():
    text = claims.PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^### (?=.*\?$)", text, flags=re.MULTILINE)[1:]
    assert len(parts) == text.count("<!-- claims ") == text.count("<details><summary>")
    for part in parts:
        question, answer, name = part.split("\n\n")[0], part.split("\n\n")[1], re.search("<!-- claims (.*) -->", part)
        assert question.endswith("?")
        assert len(answer.split()) >= 10
        assert f"<!-- /claims {name[1]} -->" in part
        assert name[1] in recipes.names()
