from dataclasses import replace

import pytest

from flatmin.report.page import render
from flatmin.report.rating.rating_page import rating_page
from tests.report.rating.conftest import FOUND


def test_errors_come_first_and_the_certificate_last(rated):
    page = rating_page(rated())
    assert [fact.value for fact in page.highlights[:4]] == ["0.5", "1", "1.5", "90 %"]
    assert [section.name for section in page.sections] == ["held-out", "recommended", "errors", "fit", "repeat"]
    html = render(page)
    assert "50 % less error than by offsets" in html
    assert "X is y." in html


@pytest.mark.parametrize(
    ("changes", "good", "headline"),
    [
        ({}, True, "better than by offsets"),
        ({"held_out": FOUND | {"offsets_are_as_good": True}}, False, "Offsets of rows and columns predict as well"),
        ({"held_out": None}, False, "with an error that is not known"),
        ({"converged": False}, False, "better than by offsets"),
    ],
)
def test_the_verdict(rated, changes, good, headline):
    table = rated()
    page = rating_page(replace(table, summary={**table.summary, **changes}))
    assert page.verdict.good is good
    assert headline in page.verdict.headline


def test_recommendations_have_the_same_width(rated):
    table = next(s for s in rating_page(rated()).sections if s.name == "recommended").table
    assert table.head == ("Row", "1.", "2.")
    assert table.rows == [["ann", "a (4)", "b (3.5)"], ["bob", "c (2)", ""]]


def test_a_model_from_a_file_has_its_certificate_elsewhere(rated):
    html = render(rating_page(rated(held_out=None, certificate=None, model="old", n_values=None)))
    assert "in the report of its model, in old" in html
    assert "measured when the model was fitted" in html
