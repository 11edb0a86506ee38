import flatmin as fm
from flatmin.report.exact_proof import exact_proof_section
from flatmin.report.page import Page, Verdict, render
from tests.proofs.exact.integer_problems import sensing


def test_the_section_has_the_theorems_their_checks_and_the_command():
    problem = sensing()
    proof = fm.prove(problem, fm.flat_minimum(problem))
    section = exact_proof_section(proof)
    assert [statement.text for statement in section.statements] == [s.words for s in proof.statements]
    assert all(statement.holds for statement in section.statements)
    page = render(Page("t", "k", "s", Verdict(True, "h"), [], [section]))
    assert f"python checker.py proof.json instance.npz --sha256 {proof.sha256}" in page
    assert "flatmin/proofs/checker.py" in page
    assert "Must it be trusted?" in page


def test_what_is_missing_has_its_reason():
    problem = fm.families.phase_retrieval.sample(8, 1, 60).problem
    section = exact_proof_section(fm.prove(problem, fm.flat_minimum(problem)))
    missing = [statement for statement in section.statements if statement.holds is None]
    assert [statement.title for statement in missing] == ["An upper bound for the best solution"]
    assert missing[0].text.startswith("Not proved: X̂ does not fit")
