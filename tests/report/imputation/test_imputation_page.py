import numpy as np
import pytest

from flatmin.report.imputation.imputation_page import imputation_page
from flatmin.report.page import render
from tests.report.imputation.conftest import TRUTH, fields

FOUND = fields()["held_out"]


def test_errors_come_first_and_the_certificate_last(filled):
    page = imputation_page(filled())
    assert [fact.value for fact in page.highlights[:4]] == ["0.5", "1", "0.6", "90 %"]
    assert [section.name for section in page.sections] == ["cells", "columns", "errors", "fit", "repeat"]
    html = render(page)
    assert "with 50 % less error than by column means" in html
    assert "statement about the penalised fit as an optimization problem. Certified" in html
    assert "0.3 of the penalty that follows from the noise" in html


@pytest.mark.parametrize(
    ("changes", "good", "headline"),
    [
        ({}, True, "better than by column means"),
        ({"held_out": FOUND | {"means_are_as_good": True}}, False, "Column means predict as well"),
        ({"held_out": None}, False, "with an error that is not known"),
        ({"n_filled": 0}, True, "No cell was missing"),
        ({"converged": False}, False, "better than by column means"),
    ],
)
def test_the_verdict(filled, changes, good, headline):
    page = imputation_page(filled(**changes))
    assert page.verdict.good is good
    assert headline in page.verdict.headline
    assert render(page)


def test_intervals_are_mentioned_only_where_there_are_some(filled):
    assert "has an interval in intervals.csv" in render(imputation_page(filled()))
    assert "has an interval in intervals.csv" not in render(imputation_page(filled(TRUTH * np.nan)))


def test_better_neighbours_are_admitted(filled):
    page = imputation_page(filled(held_out=FOUND | {"neighbours_are_better": True}))
    assert "5 nearest neighbours predict them better still" in page.verdict.advice


def test_columns_are_listed_with_their_units(filled):
    columns = imputation_page(filled()).sections[1]
    assert columns.table.rows[0] == ["a", "3", "0.5", "1", "0.6", "2", "90 %", "−1", "1"]
    assert columns.parts[0].table.rows == [["sex", "2", "text"]]


def test_a_model_from_a_file_has_its_certificate_elsewhere(filled):
    html = render(imputation_page(filled(certificate=None, model="old-imputed")))
    assert "in the report of its model, in old-imputed" in html
    assert "measured when the model was fitted" in html


@pytest.mark.parametrize(
    ("chosen", "part"),
    [
        (None, "This fit predicts"),
        ("normal 0.1", "normal distribution of rows"),
        ("refit", "least-squares fit"),
        ("offsets", "offsets alone"),
        ("1", "follows from the noise"),
    ],
)
def test_the_model_that_predicts_is_named(filled, chosen, part):
    assert part in render(imputation_page(filled(predicts=chosen)))


def test_of_many_columns_the_worst_are_listed(filled):
    known, text = fields()["columns"][0], fields()["columns"][-1]
    columns = [known | {"name": f"c{j}", "error": float(j), "spread": 1.0 + 99 * (j == 69)} for j in range(70)]
    page = imputation_page(filled(columns=[*columns, *[text] * 60]))
    section = next(section for section in page.sections if section.name == "columns")
    assert [row[0] for row in section.table.rows] == [f"c{j}" for j in range(68, 18, -1)]
    assert "The 50 of 70 columns with the largest errors relative to their spread are listed" in section.prose[-1]
    assert len(section.parts[0].table.rows) == 50
    assert section.parts[0].prose == ["10 more columns of this kind: see summary.json."]
    unknown = imputation_page(filled(columns=[column | {"error": None} for column in columns])).sections
    assert any("50 of 70 columns that come first" in line for section in unknown for line in section.prose)


def test_one_column_is_the_reason_that_there_is_no_error(filled):
    page = imputation_page(filled(held_out=None, n_fitted_columns=1))
    assert page.verdict.advice.startswith("There is only one numeric column")
