import numpy as np

from flatmin.report import write_separation_report
from flatmin.report.separation.separation_page import separation_page
from tests.report.separation.conftest import WRONG


def test_the_page_begins_with_the_errors_and_ends_with_the_certificate(separated):
    page = separation_page(separated())
    assert page.verdict.headline == f"{WRONG.sum()} cells ({100 * WRONG.mean():.2g} %) are gross errors."
    assert (
        page.verdict.advice
        == "The rest is a matrix of rank 1, plus noise of 0.1 robust standard deviations of a column."
    )
    assert [section.name for section in page.sections] == ["parts", "errors", "fit", "repeat"]
    assert len(page.sections[1].table.rows) == WRONG.sum()
    assert "Certified" in " ".join(page.sections[2].prose)


def test_other_outcomes_have_their_own_words(separated, monkeypatch):
    monkeypatch.setattr("flatmin.report.separation.separation_page.split_pictures", lambda split: [])
    exact = separation_page(separated(changes={"sigma": 0.0, "treatment": "exact"}))
    assert exact.verdict.advice == "The rest is a matrix of rank 1, without noise."
    assert not exact.sections[1].prose
    unknown = separation_page(separated(changes={"sigma": None, "converged": False}))
    assert "of unknown level" in unknown.verdict.advice
    assert not unknown.verdict.good
    loaded = separation_page(separated(certificate=None, changes={"model": "old"}))
    assert "in old." in loaded.sections[2].prose[-1]


def test_pictures_count_grey_levels(separated, tmp_path):
    mask = np.zeros((6, 20), bool)
    mask[2, 3:5] = True
    split = separated(np.full((6, 20), 0.5), mask, frames=(6, 4, 5, 1), changes={"sigma": 0.02, "unit": "pixel"})
    page = separation_page(split)
    assert page.subtitle == "6 frames of 5×4 pixels, in grey"
    assert "of 5.1 grey levels of 255" in page.verdict.advice
    facts = {fact.name: fact.value for fact in page.sections[1].facts}
    assert (facts["Most in one frame"], facts["Frames without errors"]) == ("2", "5")
    write_separation_report(tmp_path / "report.html", split)
    assert "gross errors" in (tmp_path / "report.html").read_text(encoding="utf-8")
